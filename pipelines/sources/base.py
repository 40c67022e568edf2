"""What a source gives, and how one is found by its kind. Adding a source is adding a module with a `SOURCE`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipelines.discovery import modules_that_define
from pipelines.engine import Engine
from pipelines.locations import store_at
from pipelines.progress import Reporter
from schemas.digests import digest_of
from schemas.errors import UsageError, suggest
from schemas.manifest import SourceSection, validated
from schemas.store import Store
from schemas.tables import EXCLUSIONS


class SourceSettings(BaseModel):
    """The keys of `source:` in a manifest; each source adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str


@dataclass(frozen=True)
class SourceTables:
    """What a source says. Tables have the columns of `schemas.tables`, rows in any order; text may be
    dictionary-encoded.

    Attributes:
        tracks, annotations: the tracks, and what is said of them.
        exclusions: tracks that did not come in, and why.
        published: the published split if there is one, or several, each under its scheme's name.
        pairs: the retrieval pairs that were published with the split, if they were.
        listened: the tracks in the listening data, or None when the recipe has none.
        captions: sentences that the source has for its tracks.
        taxonomy: what the source says of its own tags.
        targets: numbers to predict, such as valence.
        interactions: playlists or listeners.
        artist_keys: columns artist_id and key: other names under which the source knows an artist (an MBID);
            artists with a key in common are one.
        notes: what a person should know of how the source was read.
    """

    tracks: pa.Table
    annotations: pa.Table
    exclusions: pa.Table = field(default_factory=EXCLUSIONS.empty)
    published: pa.Table | None = None
    pairs: pa.Table | None = None
    listened: pa.Table | None = None
    captions: pa.Table | None = None
    taxonomy: pa.Table | None = None
    targets: pa.Table | None = None
    interactions: pa.Table | None = None
    artist_keys: pa.Table | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceContext:
    """What a source may use.

    Attributes:
        out: the dataset directory.
        base: the folder that relative paths in the manifest start from; None for the working directory.
        engine, reporter: for work that deserves workers and a progress bar.
        trust_stamps: whether a file whose size and time are unchanged may be taken as unchanged.
        dry_run: only digests are wanted; nothing may be written, and what is not known yet counts as changed.
    """

    out: Store
    base: str | None
    engine: Engine
    reporter: Reporter
    trust_stamps: bool = True
    dry_run: bool = False

    def store(self, uri: str, key: str) -> Store:
        """The store at a path that the manifest names under `key`.

        Raises:
            UsageError: there is no such folder.
        """
        return store_at(uri, self.base, key)


class Source(ABC):
    """One source.

    Attributes:
        VERSION: raised when what it reads from the same files changes.
        Settings: its keys in the manifest.
        LOCATION_KEYS: those keys that say where things lie, and so enter no digest.
        PUBLISHED_IDS: whether its track ids are its publishers', so that two datasets of one kind that hold an id
            hold one track; not when they come from a user's own files.
    """

    VERSION: ClassVar[int]
    Settings: ClassVar[type[SourceSettings]]
    LOCATION_KEYS: ClassVar[frozenset[str]] = frozenset({"path"})
    PUBLISHED_IDS: ClassVar[bool] = False

    def __init__(self, settings: Any, context: SourceContext) -> None:
        self.settings = settings
        self.context = context

    @abstractmethod
    def inputs(self) -> dict[str, str]:
        """Digest of the content of every file that `read` depends on, by path below the source's root."""

    def inputs_digest(self) -> str:
        """`digest_of` what `inputs` gives."""
        return digest_of(self.inputs())

    @abstractmethod
    def read(self) -> SourceTables:
        """Read the tables."""

    @abstractmethod
    def expected_tracks(self) -> int | None:
        """About how many tracks there are, when that is known without reading them; for the plan."""

    @abstractmethod
    def audio(self) -> Store | None:
        """The store that `tracks.audio_uri` starts from, or None when there is no sound at hand."""

    def files_are_clips(self) -> bool:
        """Whether a file holds the clip alone, where a track is a clip of a longer recording; else it holds all of
        the recording, and `tracks.start_s` and `end_s` say which part is the track."""
        return True


def source_kinds() -> list[str]:
    """Every kind that a manifest may name: the modules here that define a `SOURCE`."""
    return modules_that_define("SOURCE", "pipelines.sources")


def source_class(section: SourceSection, where: str) -> tuple[type[Source], SourceSettings]:
    """The source that a manifest names, and its settings.

    Raises:
        UsageError: an unknown kind or key.
    """
    if section.kind not in source_kinds():
        raise UsageError(f"{where}: source.kind: no source {section.kind!r}{suggest(section.kind, source_kinds())}")
    module = importlib.import_module(f"pipelines.sources.{section.kind}")
    cls: type[Source] = module.SOURCE
    return cls, validated(cls.Settings, section.model_dump(), where, "source")


def has_published_ids(kind: object) -> bool:
    """Whether sources of this kind give their publishers' ids; False for a kind that is not known here."""
    if not isinstance(kind, str) or kind not in source_kinds():
        return False
    module = importlib.import_module(f"pipelines.sources.{kind}")
    return bool(module.SOURCE.PUBLISHED_IDS)
