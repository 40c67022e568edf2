"""Any folder of audio. What is known of a track comes from the file's own tags, or from a CSV beside them.

Without an artist tag the first folder below the source is the artist. Untagged files in the root are one group
of unknown artists, which splits keep in train.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from pipelines.file_kinds import SUFFIXES_OF
from pipelines.sources.artists import artist_id, common_names
from pipelines.sources.base import Source, SourceContext, SourceSettings, SourceTables
from pipelines.sources.inventory import probe_files
from pipelines.sources.probe import Probe
from pipelines.stage import shown
from schemas.errors import UsageError, suggest
from schemas.reasons import Reason
from schemas.store import LINKED_FOLDER, NO_FILE, FileInfo, Store
from schemas.tables import ANNOTATIONS, EXCLUSIONS, TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST

AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".webm", ".wma"}
)
METADATA_FILE = "metadata.csv"
_COLUMNS = ("path", "track_id", "artist", "album", "title", "year", "genre", "tags", "licence")


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

    VERSION = 2
    Settings = FolderSettings
    settings: FolderSettings

    def __init__(self, settings: FolderSettings, context: SourceContext) -> None:
        super().__init__(settings, context)
        self._store = self._located()
        self._probes: dict[str, Probe] | None = None
        self._listed: list[FileInfo] | None = None
        self._awkward: list[FileInfo] | None = None

    def _located(self) -> Store:
        if self.settings.path is None:
            raise UsageError("source.path: is required; set it with --set source.path=DIR")
        return self.context.store(self.settings.path, "source.path")

    def audio(self) -> Store:
        return self._store

    def expected_tracks(self) -> int:
        return len(self._files())

    def inputs(self) -> dict[str, str]:
        # A file whose tags took too long is another one when they do not.
        digests = {
            path: probe.sha256 if probe.sha256 and probe.reason != Reason.TIMED_OUT else str(probe.reason)
            for path, probe in self._probed().items()
        }
        # Not their stamps: what a link leads to lies outside, and so does its time.
        digests.update({info.path: str(_excluded_name(info)["detail"]) for info in self._odd()})
        metadata = self._metadata_path()
        if metadata is not None:
            digests[metadata] = self._store.sha256(metadata)
        return digests

    def read(self) -> SourceTables:
        rows = self._metadata_rows()
        tracks: list[dict[str, Any]] = []
        tags: dict[str, list[dict[str, Any]]] = {}
        excluded = [_excluded_name(info) for info in self._odd()]
        by_folder = 0
        names: list[tuple[str, str]] = []
        for path, probe in sorted(self._probed().items()):
            row = rows.pop(path, {})
            track_id = row.get("track_id") or path
            if probe.reason is not None:
                excluded.append(_exclusion(track_id, Reason(probe.reason), probe.detail))
                continue
            name, from_folder = _artist(row.get("artist") or probe.artist, path)
            by_folder += from_folder
            key = artist_id(name) if name else UNKNOWN_ARTIST
            if name:
                names.append((key, name))
            tracks.append(
                {
                    "track_id": track_id,
                    "artist_id": key,
                    "artist_name": name,
                    "album": row.get("album") or probe.album,
                    "title": row.get("title") or probe.title or PurePosixPath(path).stem,
                    "year": _year(row.get("year"), track_id) if row.get("year") else probe.year,
                    "duration_s": probe.duration_s,
                    "audio_uri": path,
                    "audio_sha256": probe.sha256,
                    "recording_id": probe.sound,
                    "licence": row.get("licence"),
                }
            )
            genres = _several(row["genre"]) if row.get("genre") else list(probe.genres)
            said = [("genre", genre) for genre in genres] + [
                ("tags", tag) for tag in _several(row.get("tags") or "")
            ]
            tags[path] = [{"track_id": track_id, "source": source, "raw_tag": tag} for source, tag in said]
        excluded.extend(
            _exclusion(row.get("track_id") or path, Reason.MISSING_FILE, f"{self._metadata_path()} names {path!r}")
            for path, row in sorted(rows.items())
        )
        chosen, notes = common_names(names)
        for track in tracks:
            track["artist_name"] = chosen.get(track["artist_id"])
        cut = {path for path, probe in self._probed().items() if probe.whole is False}
        tracks, repeated = drop_repeated(tracks, keep_recordings=self.settings.keep_duplicates, cut=cut)
        notes.extend(_misnamed(self._probed()))
        self._probes = None  # they weigh more than all that later stages hold
        if by_folder:
            notes.append(
                f"{by_folder} tracks have no artist tag: the first folder of their path was taken as artist"
            )
        unknown = sum(track["artist_id"] == UNKNOWN_ARTIST for track in tracks)
        if unknown:
            notes.append(f"{unknown} tracks have no artist at all: one group, kept in the first split")
        return SourceTables(
            TRACKS.from_rows(tracks),
            # By path: a file that is left out for its id says nothing of the track that has the id.
            ANNOTATIONS.from_rows(tag for track in tracks for tag in tags[track["audio_uri"]]),
            EXCLUSIONS.from_rows([*excluded, *repeated]),
            notes=tuple(notes),
        )

    def _files(self) -> list[FileInfo]:
        if self._listed is None:
            suffixes = AUDIO_SUFFIXES
            self._listed = [
                info
                for info in self._store.list(no_files=True)
                if PurePosixPath(info.path).suffix.lower() in suffixes or info.stamp == LINKED_FOLDER
            ]
            if not self._listed:
                kinds = ", ".join(sorted(suffix[1:] for suffix in suffixes))
                raise UsageError(f"source.path: {self._store.root} holds no audio ({kinds})")
        return self._listed

    def _odd(self) -> list[FileInfo]:
        """What cannot be opened under the name that it has."""
        if self._awkward is None:
            self._awkward = [info for info in self._files() if _name_reason(info) or self._leads_out(info)]
        return self._awkward

    def _leads_out(self, info: FileInfo) -> bool:
        """Only the file itself can be a link: those to folders are not followed."""
        local = self._store.local_path(info.path)
        return local is not None and local.is_symlink() and not self._store.inside(info.path)

    def _probed(self) -> dict[str, Probe]:
        if self._probes is None:
            odd = {info.path for info in self._odd()}
            files = [info for info in self._files() if info.path not in odd]
            self._probes = probe_files(self.context, self._store, files)
        return self._probes

    def _metadata_path(self) -> str | None:
        named = self.settings.metadata
        if named is None:
            return METADATA_FILE if self._store.exists(METADATA_FILE) else None
        if not self._store.exists(named):
            raise UsageError(f"source.metadata: {self._store.root}/{named} is not there")
        return named

    def _metadata_rows(self) -> dict[str, dict[str, str]]:
        """The CSV's rows by path, with clean relative paths as keys."""
        name = self._metadata_path()
        if name is None:
            return {}
        where = f"{self._store.root}/{name}"
        try:
            text = self._store.read_bytes(name).decode("utf-8-sig")
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{where}: is no CSV in UTF-8 ({error})") from error
        header, *body = lines or [[]]
        if "path" not in header:
            raise UsageError(f"{where}: has no column 'path'; its columns: {', '.join(header)}")
        for column in header:
            if column not in _COLUMNS:
                raise UsageError(f"{where}: unknown column {column!r}{suggest(column, _COLUMNS)}")
            if header.count(column) > 1:
                raise UsageError(f"{where}: column {column!r} stands twice")
        rows: dict[str, dict[str, str]] = {}
        for number, cells in enumerate(body, start=2):
            if not cells:
                continue
            if len(cells) != len(header):
                raise UsageError(f"{where}: row {number}: {len(cells)} cells for {len(header)} columns")
            row = dict(zip(header, cells, strict=True))
            if not row["path"]:
                raise UsageError(f"{where}: row {number}: has no path")
            path = str(PurePosixPath(row["path"]))
            if path in rows:
                raise UsageError(f"{where}: row {number}: {path!r} stands twice")
            rows[path] = {key: " ".join(value.split()) for key, value in row.items()}
        return rows


def drop_repeated(
    tracks: list[dict[str, Any]], *, keep_recordings: bool, cut: Collection[str] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Keep the first track (by id) of each id and, unless asked not to, of each recording.

    Args:
        cut: files that end early; of a recording one that is whole is kept before them.

    Returns:
        the tracks kept, and an exclusion for each that was not, both by id.
    """
    ids: set[str] = set()
    named, excluded = [], []
    for track in sorted(tracks, key=lambda t: (t["track_id"], t["audio_uri"] or "")):
        if track["track_id"] in ids:
            excluded.append(_exclusion(track["track_id"], Reason.DUPLICATE_ID, track["audio_uri"]))
        else:
            named.append(track)
        ids.add(track["track_id"])
    if keep_recordings:
        return named, excluded
    recordings: dict[str, str] = {}
    for track in sorted(named, key=lambda t: t["audio_uri"] in cut):
        recordings.setdefault(track["recording_id"], track["track_id"])
    kept = []
    for track in named:
        best = recordings[track["recording_id"]]
        if best == track["track_id"]:
            kept.append(track)
        else:
            detail = f"the same sound as {best}" + (", and cut off" if track["audio_uri"] in cut else "")
            excluded.append(_exclusion(track["track_id"], Reason.DUPLICATE_RECORDING, detail))
    return kept, sorted(excluded, key=lambda row: row["id"])


def _misnamed(probes: Mapping[str, Probe]) -> list[str]:
    """A note on the files whose content is not what their names say."""
    wrong = [
        f"{path} is {probe.kind}"
        for path, probe in sorted(probes.items())
        if probe.reason is None
        and probe.kind is not None
        and PurePosixPath(path).suffix.lower() not in SUFFIXES_OF[probe.kind]
    ]
    if not wrong:
        return []
    return [f"{len(wrong)} files are read as what they are, not as what their names say: {shown(wrong)}"]


def _artist(tagged: str | None, path: str) -> tuple[str | None, bool]:
    """The artist's name as written, and whether it is only a folder's."""
    if tagged and artist_id(tagged) != UNKNOWN_ARTIST:
        return tagged, False
    folders = PurePosixPath(path).parts[:-1]
    return (folders[0], True) if folders else (None, False)


def _several(value: str) -> list[str]:
    return [part for part in dict.fromkeys(piece.strip() for piece in value.split(";")) if part]


def _year(value: Any, track_id: str) -> int | None:
    """The year, also as pandas writes numbers and gaps: 2004.0, nan."""
    text = str(value).strip().removesuffix(".0")
    if text.lower() in ("", "nan", "none"):
        return None
    if not text.isascii() or not text.isdigit() or len(text) != 4:
        raise UsageError(
            f"{METADATA_FILE}: {track_id}: year {value!r} is not four digits; leave it empty if unknown"
        )
    return int(text)


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
