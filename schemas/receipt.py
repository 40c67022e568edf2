"""The receipt: the commit point of a dataset directory. Readers trust only the files that it lists.

It holds no clock, host, path or worker count, so the same manifest on the same inputs gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.digests import canonical_json, digest_of
from schemas.errors import DataError, UsageError
from schemas.store import Store

RECEIPT_FILE = "receipt.json"
FORMAT = 1
_OWN_DIGEST = "digest"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """One file: its content's digest, bytes and rows."""

    sha256: Digest
    bytes: int = Field(ge=0)
    rows: int = Field(ge=0)


class FunnelStep(_Strict):
    """What is left after one step of a stage. A count that the step does not touch is null."""

    step: str
    tracks: int | None = None
    artists: int | None = None
    tags: int | None = None
    annotations: int | None = None


class StageEntry(_Strict):
    """What one stage was asked, and what it made.

    Attributes:
        version: the stage's code version, raised when its output changes.
        digest: of the version, the stage's part of the manifest, its input files' contents and the digests of
            the stages before it. While it is unchanged the stage is not run again.
        files: what it wrote, by path below the directory.
        funnel: counts after each step, in order.
        notes: what a person should know of how it went, one sentence each.
    """

    version: int
    digest: Digest
    files: dict[str, FileEntry]
    funnel: list[FunnelStep] = []
    notes: list[str] = []


class Receipt(_Strict):
    """Everything that a dataset directory holds.

    Attributes:
        name: the manifest's name; a directory belongs to one name.
        manifest: digest of `recipe` without its card.
        recipe: the manifest as resolved, without what says where things lie.
        shards: how many shards every feature of the dataset has; fixed by the first feature build.
        stages: by stage name.
    """

    format: int = FORMAT
    name: str
    manifest: Digest
    recipe: dict[str, Any] = {}
    shards: int | None = None
    stages: dict[str, StageEntry] = {}

    def files(self) -> dict[str, FileEntry]:
        """Every file that the directory is trusted to hold."""
        return {path: entry for stage in self.stages.values() for path, entry in stage.files.items()}

    def write(self, store: Store) -> None:
        """Commit."""
        content = self.model_dump(mode="json")
        store.write_text(RECEIPT_FILE, canonical_json({**content, _OWN_DIGEST: digest_of(content)}) + "\n")


def read_receipt(store: Store) -> Receipt | None:
    """The directory's receipt, or None when it has none.

    Raises:
        DataError: the receipt is not one that this version reads.
    """
    try:
        data = store.read_bytes(RECEIPT_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    where = f"{store.root}/{RECEIPT_FILE}"
    try:
        content = json.loads(data)
        # Before the rest, for another format may hold what this version takes for damage.
        found = content.get("format", FORMAT) if isinstance(content, dict) else FORMAT
        if found != FORMAT:
            raise DataError(f"{where}: format {found}, and this version reads {FORMAT}; update Tracklore")
        # Those of earlier versions have none.
        stated = content.pop(_OWN_DIGEST, None) if isinstance(content, dict) else None
        if stated is not None and stated != digest_of(content):
            raise DataError(f"{where}: is damaged (its digest is another); delete it and build again")
        return Receipt.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{where}: is damaged ({error.error_count()} errors); delete it and build again") from error
    except ValueError as error:
        raise DataError(f"{where}: is damaged ({error}); delete it and build again") from error


def require_receipt(store: Store) -> Receipt:
    """The directory's receipt.

    Raises:
        UsageError: there is no dataset here.
    """
    receipt = read_receipt(store)
    if receipt is None:
        raise UsageError(f"{store.root}: no {RECEIPT_FILE} here, so no dataset; make one with tracklore build")
    return receipt
