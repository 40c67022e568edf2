"""Any folder of audio. What is known of a track comes from the file's own tags, or from a CSV beside them.

Without an artist tag the first folder below the source is the artist. Untagged files in the root are one group
of unknown artists, which splits keep in train.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.progress import beat
from pipelines.sources.artists import common_names
from pipelines.sources.base import Source, SourceContext, SourceSettings, SourceTables
from pipelines.sources.folder_metadata import METADATA, read_metadata, said_of
from pipelines.sources.folder_tracks import annotations_of, tracks_of, with_artists_of_folders
from pipelines.sources.inventory import probe_files
from pipelines.sources.probes import ROWS_AT_ONCE, files_table, known_for_good, slices
from pipelines.sources.repeated_tracks import drop_repeated
from pipelines.stage import shown
from schemas.coded import coded
from schemas.digests import digest_of_texts
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.store import LINKED_FOLDER, NO_FILE, FileInfo, Store
from schemas.tables import EXCLUSIONS, TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST

AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".webm", ".wma"}
)
METADATA_FILE = "metadata.csv"


class FolderSettings(SourceSettings):
    """The keys of `source:` for a folder.

    Attributes:
        path: the folder; read with everything below it.
        metadata: a CSV below `path` with a column `path` and any of track_id, artist, album, title, year,
            genre, tags, licence; what it says goes before the files' own tags. `metadata.csv` is read when it
            is there; genre and tags hold several values with `;` between them.
        keep_duplicates: keep every copy of a recording (splits then hold the copies together).
    """

    path: str | None = None
    metadata: str | None = None
    keep_duplicates: bool = False


class Folder(Source):
    """See the module."""

    VERSION = 3
    Settings = FolderSettings
    settings: FolderSettings

    def __init__(self, settings: FolderSettings, context: SourceContext) -> None:
        super().__init__(settings, context)
        self._store = self._located()
        self._probes: pa.Table | None = None
        self._listed: tuple[pa.Table, list[FileInfo]] | None = None

    def _located(self) -> Store:
        if self.settings.path is None:
            raise UsageError("source.path: is required; set it with --set source.path=DIR")
        return self.context.store(self.settings.path, "source.path")

    def audio(self) -> Store:
        return self._store

    def expected_tracks(self) -> int:
        return len(self._files()) + len(self._odd())

    def inputs(self) -> dict[str, str]:
        return dict(self._digests())

    def inputs_digest(self) -> str:
        return digest_of_texts(self._digests())

    def read(self) -> SourceTables:
        metadata = self._checked_metadata()
        probes = self._probed()
        rows, unmet = said_of(metadata, probes.column("path"))
        excluded = [EXCLUSIONS.from_rows([*map(_excluded_name, self._odd()), *self._not_there(unmet)])]
        tracks: list[pa.Table] = []
        misnamed: list[str] = []
        for start in range(0, max(1, probes.num_rows), ROWS_AT_ONCE):
            said = metadata.take(rows.slice(start, ROWS_AT_ONCE))
            part = tracks_of(probes.slice(start, ROWS_AT_ONCE), said)
            tracks.append(part.tracks)
            excluded.append(part.exclusions)
            misnamed.extend(part.misnamed)
            beat()
        self._probes = None  # they weigh more than all that later stages hold
        del probes, metadata, rows
        found, notes = _with_common_names(with_artists_of_folders(pa.concat_tables(tracks)))
        del tracks
        kept, repeated = drop_repeated(found, keep_recordings=self.settings.keep_duplicates)
        if misnamed:
            notes.append(
                f"{len(misnamed)} files are read as what they are, not as what their names say: {shown(misnamed)}"
            )
        undescribed = len(kept) - (pc.sum(kept.column("described")).as_py() or 0)
        if undescribed and self._metadata_path() is not None:
            notes.append(f"{undescribed} tracks have no row in {self._metadata_path()}")
        by_folder = pc.sum(found.column("folder_artist")).as_py()
        if by_folder:
            notes.append(
                f"{by_folder} tracks have no artist tag: the first folder of their path was taken as artist"
            )
        unknown = pc.sum(pc.equal(kept.column("artist_id"), UNKNOWN_ARTIST)).as_py()
        if unknown:
            notes.append(f"{unknown} tracks have no artist at all: one group, kept in the first split")
        return SourceTables(
            TRACKS.conform(kept),
            # Of the tracks that are kept: a file that is left out for its id says nothing of the one that has it.
            annotations_of(kept),
            EXCLUSIONS.conform(pa.concat_tables([*excluded, repeated])),
            notes=tuple(notes),
        )

    def _digests(self) -> Iterator[tuple[str, str]]:
        """Digest of the content of every file, in order of their paths."""
        probes = self._probed()
        # Not their stamps: what a link leads to lies outside, and so does its time.
        others = {info.path: str(_excluded_name(info)["detail"]) for info in self._odd()}
        # After the look at the files, which may take hours: what is read after it is as it is now.
        metadata = self._metadata_path()
        if metadata is not None:
            others[metadata] = self._store.sha256(metadata)
        files = ((path, content) for path, content in _content(probes) if path not in others)
        return merge(files, sorted(others.items()))

    def _files(self) -> pa.Table:
        """The audio files that can be opened, as `pipelines.sources.probes.FILES`, by path."""
        return self._listing()[0]

    def _odd(self) -> list[FileInfo]:
        """What cannot be opened under the name that it has."""
        return self._listing()[1]

    def _listing(self) -> tuple[pa.Table, list[FileInfo]]:
        if self._listed is None:
            odd: list[FileInfo] = []
            self._listed = files_table(self._openable(odd)), odd
            if not any(map(len, self._listed)):
                kinds = ", ".join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))
                raise UsageError(f"source.path: {self._store.root} holds no audio ({kinds})")
        return self._listed

    def _openable(self, odd: list[FileInfo]) -> Iterator[FileInfo]:
        """The audio files that can be opened; others are added to `odd`."""
        before = None
        for info in self._store.list(no_files=True):
            if PurePosixPath(info.path).suffix.lower() not in AUDIO_SUFFIXES and info.stamp != LINKED_FOLDER:
                continue
            if info.path == before:  # the keys a/b and a//b of an object store
                continue
            before = info.path
            if _name_reason(info) or self._leads_out(info):
                odd.append(info)
            else:
                yield info

    def _leads_out(self, info: FileInfo) -> bool:
        """Only the file itself can be a link: those to folders are not followed."""
        local = self._store.local_path(info.path)
        return local is not None and local.is_symlink() and not self._store.inside(info.path)

    def _probed(self) -> pa.Table:
        """What each file says of itself, as `pipelines.sources.probes.PROBES`, by path."""
        if self._probes is None:
            # A mistake in the CSV is told before hours of looking at files, not after.
            self._probes = probe_files(self.context, self._store, self._files(), before_look=self._checked_metadata)
        return self._probes

    def _metadata_path(self) -> str | None:
        named = self.settings.metadata
        if named is None:
            return METADATA_FILE if self._store.exists(METADATA_FILE) else None
        if not self._store.exists(named):
            raise UsageError(f"source.metadata: {self._store.root}/{named} is not there")
        return named

    def _metadata(self) -> pa.Table:
        """What the CSV says, as `pipelines.sources.folder_metadata.METADATA`."""
        name = self._metadata_path()
        return METADATA.empty_table() if name is None else read_metadata(self._store, name)

    def _not_there(self, unmet: pa.Table) -> list[dict[str, Any]]:
        rows = zip(unmet.column("track_id").to_pylist(), unmet.column("path").to_pylist(), strict=True)
        name = self._metadata_path()
        end = "its paths start from the source's folder"
        return [
            _exclusion(track or path, Reason.MISSING_FILE, f"{name} names {path!r}; {end}") for track, path in rows
        ]

    def _checked_metadata(self) -> pa.Table:
        """What the CSV says, of which something must be said of a file that is here.

        Raises:
            UsageError: it is no such CSV, or none of its paths is that of a file.
        """
        metadata, files = self._metadata(), self._files()
        _, unmet = said_of(metadata, files.column("path"))
        odd = {info.path for info in self._odd()}
        lost = len(unmet) == len(metadata) > 0 and odd.isdisjoint(unmet.column("path").to_pylist())
        if lost and len(files):
            said, there = (table.column("path")[0].as_py() for table in (metadata, files))
            raise UsageError(
                f"{self._store.root}/{self._metadata_path()}: none of its paths is that of an audio file here, "
                f"such as {said!r}; write them from the source's folder on, such as {there!r}"
            )
        return metadata


def _content(probes: pa.Table) -> Iterator[tuple[str, str]]:
    """What tells each file's content, by path. A file whose tags took too long is another one when they do not."""
    for part in slices(probes.select(["path", "sha256", "reason"])):
        content = pc.if_else(known_for_good(part), part.column("sha256"), part.column("reason"))
        yield from zip(part.column("path").to_pylist(), content.to_pylist(), strict=True)


def _with_common_names(tracks: pa.Table) -> tuple[pa.Table, list[str]]:
    """Tracks whose artists have one name each, and what to say of the others."""
    ids, names = coded(tracks.column("artist_id")), coded(tracks.column("artist_name"))
    keys, written = ids.values.to_pylist(), names.values.to_pylist()
    pairs = (ids.codes * len(written) + names.codes)[names.codes >= 0]
    counted = zip(*(part.tolist() for part in np.unique(pairs, return_counts=True)), strict=True)
    chosen, notes = common_names(
        {(keys[pair // len(written)], written[pair % len(written)]): count for pair, count in counted}
    )
    common = pa.array([chosen.get(key) for key in keys], pa.string())
    starts = range(0, max(1, len(ids.codes)), ROWS_AT_ONCE)
    column = pa.chunked_array([common.take(ids.codes[start : start + ROWS_AT_ONCE]) for start in starts])
    return tracks.set_column(tracks.column_names.index("artist_name"), "artist_name", column), notes


def _name_reason(info: FileInfo) -> str | None:
    if info.stamp == LINKED_FOLDER:
        return "a link to a folder; links are not followed: move the folder in, or make it a source of its own"
    try:
        info.path.encode("utf-8")
    except UnicodeEncodeError:
        return "the file's name is not UTF-8; rename it"
    return f"a {NO_FILE}, and no file" if info.stamp == NO_FILE else None


def _excluded_name(info: FileInfo) -> dict[str, Any]:
    shown = info.path.encode("utf-8", "backslashreplace").decode()
    problem = _name_reason(info)
    if problem is None or info.stamp == LINKED_FOLDER:
        return _exclusion(shown, Reason.OUTSIDE_SOURCE, problem or "a link that leads out of the source's folder")
    return _exclusion(shown, Reason.UNREADABLE, problem)


def _exclusion(track_id: str, reason: Reason, detail: str | None) -> dict[str, Any]:
    return {"id": track_id, "stage": "source", "reason": str(reason), "detail": detail}


SOURCE = Folder
