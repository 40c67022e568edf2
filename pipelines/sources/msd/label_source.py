"""What a release of labels for the Million Song Dataset gives, and how one is found by its name."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa

from pipelines.discovery import modules_that_define
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from schemas.errors import UsageError, suggest
from schemas.tables import EXCLUSIONS

_PACKAGE = "pipelines.sources.msd.labels"


@dataclass(frozen=True)
class LabelTables:
    """What one release says of the tracks.

    Attributes:
        annotations: columns track_id, source, raw_tag, score as in `schemas.tables.ANNOTATIONS`, in any order;
            the string columns may be dictionaries (with int32 codes), which is what large releases give.
        taxonomy: what the release says of its tags, or None.
        published: its split as `schemas.tables.PUBLISHED`, or None. The scheme is `published`.
        exclusions: as `schemas.tables.EXCLUSIONS`.
        notes: what a person should know of how it was read, counts included.
    """

    annotations: pa.Table
    taxonomy: pa.Table | None = None
    published: pa.Table | None = None
    exclusions: pa.Table = field(default_factory=EXCLUSIONS.empty)
    notes: tuple[str, ...] = ()


class MillionSongFiles(PublishedFiles):
    """The folder of the Million Song Dataset's files, as label sources see it."""

    @abstractmethod
    def songs(self) -> pa.Table:
        """Which tracks a song has: columns song_id (SO…) and track_id (TR…), sorted by both. A song may have
        several tracks. Read from the metadata once and remembered.

        Raises:
            UsageError: the metadata is not as published.
        """


class LabelSource(ABC):
    """One release of labels.

    Attributes:
        VERSION: raised when what it reads from the same files changes.
        files: what it reads; keys start with the module's name and a point (`lastfm.tags`).
        pair_files: what `pairs` reads, by keys of the same kind; nothing where it has no pairs.
    """

    VERSION: ClassVar[int] = 1
    files: Mapping[str, PublishedFile]
    pair_files: Mapping[str, PublishedFile] = {}

    def files_for(self, *, labels: bool, split: bool) -> Mapping[str, PublishedFile]:
        """The files that are needed for its labels, its split, or both; `files` unless overridden.

        A file that is not in the answer is not opened; `MillionSongFiles.has` says what is there.
        """
        return self.files

    @abstractmethod
    def read(self, files: MillionSongFiles, tracks: pa.Array | None) -> LabelTables:
        """Read the labels, the split, or both, as far as `files.has` their files.

        Args:
            files: opens the files of `files_for` by key.
            tracks: ids in ascending order of the tracks that are wanted; None when every track is. What is given
                of other tracks is left out, and counted, by the caller; a source may leave it out earlier.

        Raises:
            UsageError: a file is not as published.
        """

    def pairs(self, files: MillionSongFiles) -> pa.Table | None:
        """Its retrieval pairs in the schema of `schemas.tables.PUBLISHED_PAIRS`; None where their file is missing.

        Raises:
            UsageError: the file is not as published.
        """
        return None


def label_names() -> list[str]:
    """Every release that `source.labels` may name."""
    return modules_that_define("LABELS", _PACKAGE)


def label_source(name: str, key: str) -> LabelSource:
    """The release of a name that the manifest gives under `key`.

    Raises:
        UsageError: there is none.
    """
    if name not in label_names():
        raise UsageError(f"{key}: no labels {name!r}{suggest(name, label_names())}")
    found: LabelSource = importlib.import_module(f"{_PACKAGE}.{name}").LABELS
    return found
