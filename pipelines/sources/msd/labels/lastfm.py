"""The Last.fm dataset, the Million Song Dataset's tags: 8.6 million (track, tag, score from 0 to 100).

Published as one SQLite file, `lastfm_tags.db`, and as one JSON file a track, in `lastfm_train` and `lastfm_test`
(folders, or the zip files as downloaded). The two hold the same tags; the first is read when it is there.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cache import Remembered
from pipelines.sources.msd.label_source import LabelSource, LabelTables, MillionSongFiles
from pipelines.sources.msd.sqlite import SqliteFile, opened_sqlite
from pipelines.sources.msd.tables import joined_annotations
from pipelines.sources.published_files import PublishedFile
from schemas.errors import UsageError

_DATABASE = "lastfm.tags"
_PARTS = ("lastfm.train", "lastfm.test")
_LARGEST_JSON = 16 << 20
Codes = npt.NDArray[np.int32]


class LastFm(LabelSource):
    """See the module."""

    VERSION = 1
    files = {  # noqa: RUF012 - a declared attribute of the base
        _DATABASE: PublishedFile(
            ("lastfm_tags.db",),
            about="the Last.fm dataset of the Million Song Dataset (SQLite, about 650 MB), or its JSON form: the "
            "folders or zip files lastfm_train and lastfm_test",
            required=False,
        ),
        _PARTS[0]: PublishedFile(
            ("lastfm_train", "lastfm_train.zip"), about="the Last.fm dataset's training part", unless=_DATABASE
        ),
        _PARTS[1]: PublishedFile(
            ("lastfm_test", "lastfm_test.zip"), about="the Last.fm dataset's test part", unless=_DATABASE
        ),
    }

    def read(self, files: MillionSongFiles, tracks: pa.Array | None) -> LabelTables:
        found = files.remembered("lastfm", self.VERSION, self.files, ["annotations"], lambda: _read(files))
        return LabelTables(found.tables["annotations"], notes=found.notes)


def _read(files: MillionSongFiles) -> Remembered:
    """The annotations in order, so that whoever remembers them has nothing to sort."""
    if files.has(_DATABASE):
        with opened_sqlite(files, _DATABASE) as database:
            said = _of_database(files, database)
    else:
        said = _of_json(files)
    named = said.annotations.column("track_id").chunk(0).dictionary.unique()
    tables = [("lastfm", said.annotations)]
    notes = said.notes
    del said
    annotations, _ = joined_annotations(tables, named.take(pc.array_sort_indices(named)))
    return Remembered({"annotations": annotations}, notes)


def _of_database(files: MillionSongFiles, database: SqliteFile) -> LabelTables:
    tids = database.columns("tids", {"tid": pa.string()}, ids=True)
    tags = database.columns("tags", {"tag": pa.string()}, ids=True)
    for table, column in ((tids, "tid"), (tags, "tag")):
        if table.column(column).null_count:
            row = table.column("rowid")[pc.index(pc.is_null(table.column(column)), True).as_py()].as_py()
            name = f"{column}s"
            raise files.wrong_file(_DATABASE, f"table {name!r}, column {column!r}, row {row}: is empty")
    track_rows, tag_rows = (table.column("rowid").to_numpy() for table in (tids, tags))
    track_parts: list[Codes] = []
    tag_parts: list[Codes] = []
    scores: list[npt.NDArray[np.float64]] = []
    no_track = no_tag = 0
    for track, tag, value in database.numbers("tid_tag", ("tid", "tag", "val")):
        track_code, tag_code = _codes(track, track_rows), _codes(tag, tag_rows)
        no_track += int(np.count_nonzero(track_code < 0))
        no_tag += int(np.count_nonzero((tag_code < 0) & (track_code >= 0)))
        known = (track_code >= 0) & (tag_code >= 0)
        if not known.all():
            track_code, tag_code, value = track_code[known], tag_code[known], value[known]
        track_parts.append(track_code)
        tag_parts.append(tag_code)
        scores.append(value)
    notes = []
    for count, what in ((no_track, "tids"), (no_tag, "tags")):
        if count:
            notes.append(f"Last.fm: {count:,} rows of tid_tag point to rows of {what} that are not there: left out")
    return LabelTables(
        _annotations(
            _joined(track_parts, np.int32),
            tids.column("tid").combine_chunks(),
            _joined(tag_parts, np.int32),
            tags.column("tag").combine_chunks(),
            _joined(scores, np.float64),
        ),
        notes=tuple(notes),
    )


def _codes(values: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]) -> Codes:
    """Where each value stands among the ascending `rows`, or -1 where it does not."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:  # no gap, as published: nothing to search for
        place = np.clip(values - rows[0], 0, len(rows) - 1).astype(np.int64)
    else:
        place = np.searchsorted(rows, values)
        place[place == len(rows)] = 0
    found = rows[place] == values if len(rows) else np.zeros(len(values), bool)
    return np.where(found, place, -1).astype(np.int32)


def _of_json(files: MillionSongFiles) -> LabelTables:
    track_codes: list[int] = []
    tag_codes: list[int] = []
    scores: list[float] = []
    tracks: dict[str, int] = {}
    tags: dict[str, int] = {}
    for where, content in (entry for key in _PARTS for entry in _json_files(files, key)):
        track, said = _track_of(where, content)
        if track in tracks:
            raise UsageError(f"{where}: the track {track!r} has a file before this one")
        code = tracks.setdefault(track, len(tracks))
        for tag, score in said:
            track_codes.append(code)
            tag_codes.append(tags.setdefault(tag, len(tags)))
            scores.append(score)
    return LabelTables(
        _annotations(
            np.array(track_codes, np.int32),
            pa.array(tracks, pa.string()),
            np.array(tag_codes, np.int32),
            pa.array(tags, pa.string()),
            np.array(scores, np.float64),
        )
    )


def _json_files(files: MillionSongFiles, key: str) -> Iterator[tuple[str, bytes]]:
    """Every .json file of a part, in the order of paths, as (how errors name it, its bytes)."""
    path = files.path(key)
    if files.store.is_folder(path):
        for info in files.store.list(path):
            if info.path.endswith(".json"):
                yield f"{files.store.root}/{info.path}", files.store.read_bytes(info.path)
        return
    with files.opened(key) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                for member in sorted(archive.infolist(), key=lambda member: member.filename):
                    hidden = PurePosixPath(member.filename).name.startswith("._")
                    if not member.filename.endswith(".json") or hidden:
                        continue
                    where = f"{files.where(key)}: {member.filename}"
                    if member.file_size > _LARGEST_JSON:
                        raise UsageError(f"{where}: {member.file_size:,} bytes are too many for one track")
                    yield where, archive.read(member)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise UsageError(f"{files.where(key)}: is no zip file that can be read ({error})") from error


def _track_of(where: str, content: bytes) -> tuple[str, list[tuple[str, float]]]:
    try:
        entry = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: is not valid JSON ({error})") from error
    track = entry.get("track_id") if isinstance(entry, dict) else None
    tags = entry.get("tags") if isinstance(entry, dict) else None
    if not isinstance(track, str) or not isinstance(tags, list):
        raise UsageError(f"{where}: has no track_id and tags, as the published files have")
    return track, [_tag_of(where, tag) for tag in tags]


def _tag_of(where: str, tag: Any) -> tuple[str, float]:
    """One [tag, score], the score written as text."""
    if isinstance(tag, list) and len(tag) == 2 and isinstance(tag[0], str) and not isinstance(tag[1], bool):
        try:
            score = float(tag[1])
        except (TypeError, ValueError):
            score = float("nan")
        if score - score == 0:
            return tag[0], score
    raise UsageError(f"{where}: tags: {str(tag)[:60]} is not written [tag, score]")


def _annotations(
    track_codes: Codes, tracks: pa.Array, tag_codes: Codes, tags: pa.Array, scores: npt.NDArray[np.float64]
) -> pa.Table:
    source = pa.DictionaryArray.from_arrays(np.zeros(len(scores), np.int32), pa.array(["lastfm"]))
    return pa.table(
        {
            "track_id": pa.DictionaryArray.from_arrays(track_codes, tracks),
            "source": source,
            "raw_tag": pa.DictionaryArray.from_arrays(tag_codes, tags),
            "score": scores,
        }
    )


def _joined(parts: list[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    """The parts as one, and let go of them."""
    whole = np.concatenate(parts) if parts else np.zeros(0, dtype)
    parts.clear()
    return whole


LABELS = LastFm()
