"""Where features find sound and pictures: the files of the tracks, and which part of a file is the track."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pipelines.sources.base import Source
from schemas.store import Store
from schemas.tables import TRACKS

MediaKind = Literal["audio", "video"]


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A track's file of one kind.

    Attributes:
        uri: POSIX path below the store of the media.
        start_s, end_s: the part of the file that is the track; None for its end.
        sha256: digest of the file, where it is known.
    """

    track_id: str
    uri: str
    start_s: float = 0.0
    end_s: float | None = None
    sha256: str | None = None


class Media(ABC):
    """The media of a dataset.

    Attributes:
        after: the stages that must have run before `refs` can be asked.
        way_out: what a user can do when `store` has nothing to give.
    """

    after: tuple[str, ...]
    way_out: str

    def inputs(self, *, trust_stamps: bool) -> dict[str, str]:
        """Digests, by path, of media that no table of the dataset has a digest of.

        Args:
            trust_stamps: take a file whose size and time are as they were as unchanged.
        """
        return {}

    @abstractmethod
    def store(self) -> Store | None:
        """The store that the paths start from, or None when there are no media at hand."""

    @abstractmethod
    def refs(self, out: Store, kind: MediaKind) -> tuple[list[MediaRef], list[str]]:
        """The tracks that have a file of that kind, sorted by id, and the ids of those that should and have none.

        Args:
            out: the dataset directory, whose tables say which tracks there are.
        """


class SourceMedia(Media):
    """The files that the source itself names."""

    after = ("source",)
    way_out = "set source.audio, or build with --only tags,splits"

    def __init__(self, source: Source) -> None:
        self._source = source

    def store(self) -> Store | None:
        return self._source.audio()

    def refs(self, out: Store, kind: MediaKind) -> tuple[list[MediaRef], list[str]]:
        uri, sha256 = f"{kind}_uri", f"{kind}_sha256"
        whole = self._source.files_are_clips()
        columns = [name for name in ("track_id", uri, sha256, "start_s", "end_s") if name in TRACKS.schema.names]
        table = TRACKS.read(out, columns).sort_by("track_id")
        # Column by column: a dictionary a row would be most of what is held here of a million tracks.
        ids, uris = (table.column(name).to_pylist() for name in ("track_id", uri))
        digests = table.column(sha256).to_pylist() if sha256 in columns else itertools.repeat(None)
        parts: Iterable[tuple[float | None, float | None]] = itertools.repeat((0.0, None))
        if not whole:
            parts = zip(*(table.column(name).to_pylist() for name in ("start_s", "end_s")), strict=True)
        rows = zip(ids, uris, parts, digests, strict=False)
        found = [
            MediaRef(track, path, start or 0.0, end, digest) for track, path, (start, end), digest in rows if path
        ]
        return found, [track for track, path in zip(ids, uris, strict=True) if not path]
