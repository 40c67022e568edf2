"""What a stage is to the build: a digest that says whether it stands, and a run that makes its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.engine import Engine
from pipelines.progress import Reporter
from schemas.manifest import Manifest
from schemas.receipt import FileEntry, FunnelStep, Receipt, StageEntry
from schemas.store import Store
from schemas.tables import EXCLUSIONS

_ORDER = ("source", "videos", "tags", "recordings", "splits")


def stages_in_order(receipt: Receipt) -> list[tuple[str, StageEntry]]:
    """A dataset's stages in the order in which they are told of: features, of which some are read by other stages,
    come last, and those that only keep books are left out."""
    known = {name: place for place, name in enumerate(_ORDER)}
    named = [(name, entry) for name, entry in receipt.stages.items() if name != "exclusions"]
    return sorted(named, key=lambda item: (known.get(item[0], len(known)), item[0]))


@dataclass
class BuildContext:
    """What every stage may use.

    Attributes:
        manifest, where: the recipe, and how errors name it.
        out: the dataset directory.
        engine, reporter: how work is run and shown.
        receipt: what stands; the build replaces it after every stage.
        check: whether present files are read again instead of trusted by their size.
        dry_run: only the plan is wanted.
        base: the folder that relative paths in the manifest start from; None for the working directory.
        retry: whether tracks that left by a fault of the machine's are tried again.
    """

    manifest: Manifest
    where: str
    out: Store
    engine: Engine
    reporter: Reporter
    receipt: Receipt
    check: bool = False
    dry_run: bool = False
    base: str | None = None
    retry: bool = False


@dataclass(frozen=True)
class StageResult:
    """What a stage made.

    Attributes:
        files: every file, by path below the dataset directory.
        exclusions: rows of `exclusions` for what left in this stage.
        shards: the dataset's shard count, from a feature stage.
    """

    files: Mapping[str, FileEntry]
    funnel: list[FunnelStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    exclusions: pa.Table = field(default_factory=EXCLUSIONS.empty)
    shards: int | None = None


class Stage(ABC):
    """One stage of a build.

    Attributes:
        name: as in the receipt.
        version: raised when the output for the same input changes.
        after: the stages whose output it reads.
        loads: modules that its run loads late, so that a build that stands needs none of them.
        gathers: whether its run brings in what its own `settings` depend on (downloads), so that the plan of what
            comes after it is made anew when it has run.
    """

    name: str
    version: int
    after: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    gathers: bool = False

    @abstractmethod
    def settings(self, context: BuildContext) -> Any:
        """The part of the configuration, and the digests of outside inputs, that its output depends on (JSON)."""

    def preflight(self, context: BuildContext) -> None:  # noqa: B027 - most stages lack nothing
        """Called before any stage of a build runs.

        Raises:
            UsageError: something that the stage will need is not configured.
        """

    @abstractmethod
    def run(self, context: BuildContext) -> StageResult:
        """Make the stage's files."""

    def unfinished(self, context: BuildContext) -> str:
        """Why it is to be run again though nothing has changed (what failed may come right now); else nothing."""
        return ""

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        """One line for the plan: what will be made, counts and bytes where they can be known before."""
        return ""

    def to_retry(self, context: BuildContext, entry: StageEntry) -> list[str]:
        """The files that would hold the tracks which left by a fault of the machine's, sorted."""
        return []

    def repairable(self) -> bool:
        """Whether a lost file is made again alone, the rest of the stage being kept."""
        return False


def written(out: Store, rows: Mapping[str, int]) -> dict[str, FileEntry]:
    """Receipt entries of files just written, by path and rows."""
    entries = {}
    for path, count in sorted(rows.items()):
        size = out.info(path).bytes
        entries[path] = FileEntry(sha256=out.sha256(path), bytes=size, rows=count)
    return entries


def human_bytes(count: float) -> str:
    """A size as a person reads it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def shown(items: Iterable[str], limit: int = 3) -> str:
    """The first few of many, with how many more there are."""
    listed = list(items)
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")
