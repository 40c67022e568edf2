"""The Echo Nest Taste Profile: who listened to which song, how often; and which tracks are these songs.

48 million lines `user, song, count`, tab-separated, are streamed; users and tracks are numbers from there on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pipelines.sources.excluded_rows import excluded_rows
from pipelines.sources.msd.label_source import MillionSongFiles
from pipelines.sources.published_files import PublishedFile
from schemas.reasons import Reason
from schemas.tables import INTERACTIONS, LISTENED

_TRIPLETS, _SONG_TRACKS, _MISMATCHES = "triplets", "song_tracks", "mismatches"
TASTE_FILES = {
    _TRIPLETS: PublishedFile(
        ("train_triplets.txt",),
        about="the Echo Nest Taste Profile of the Million Song Dataset (about 3 GB, 490 MB as the zip file that is "
        "published; unpack it)",
    ),
    _SONG_TRACKS: PublishedFile(
        ("taste_profile_song_to_tracks.txt",),
        about="the tracks of the Taste Profile's songs (about 15 MB), of the Million Song Dataset Challenge",
        required=False,
    ),
    _MISMATCHES: PublishedFile(
        ("sid_mismatches.txt", "tasteprofile/sid_mismatches.txt"),
        about="the Million Song Dataset's list of songs matched to wrong tracks (about 2 MB, 19,094 lines)",
    ),
}
_BLOCK_BYTES = 16 << 20
_SONG = re.compile(r"SO[A-Z0-9]{16}")
_TRACK = re.compile(r"TR[A-Z0-9]{16}")
# A line of the list; the lists of later corrections have `< ` before it.
_MISMATCH = re.compile(r"(?:< )?ERROR: <(SO[A-Z0-9]{16}) (TR[A-Z0-9]{16})> ")
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TasteProfile:
    """What the listening data says.

    Attributes:
        listened: as `schemas.tables.LISTENED`.
        interactions: as `schemas.tables.INTERACTIONS`, group_id, kind and track_id as dictionaries, or None when
            they were not asked for.
        exclusions: tracks whose listeners do not count, for their song was matched to the wrong track.
        notes: counts of what was left out.
    """

    listened: pa.Table
    interactions: pa.Table | None
    exclusions: pa.Table
    notes: tuple[str, ...]


def read_taste_profile(files: MillionSongFiles, track_ids: pa.Array, *, interactions: bool) -> TasteProfile:
    """Read the tracks that somebody listened to and, if asked for, who did.

    Args:
        track_ids: strings in ascending order; songs of other tracks are left out and counted.

    Raises:
        UsageError: a file is not as published.
    """
    pairs, notes = _song_tracks(files)
    wrong = _mismatches(files)
    mismatched = pc.is_in(_joined(pairs), value_set=_joined(wrong))
    places = pc.index_in(pairs.column("track_id").combine_chunks(), value_set=track_ids)
    kept = pc.and_(pc.is_valid(places), pc.invert(mismatched))
    absent = pc.sum(pc.and_(pc.is_null(places), pc.invert(mismatched))).as_py() or 0
    if absent:
        notes.append(f"Taste Profile: {absent:,} song-track pairs name tracks that the metadata has not: left out")

    songs = pairs.column("song_id").combine_chunks().unique()
    song_codes = pc.index_in(pairs.column("song_id").combine_chunks(), value_set=songs).to_numpy()
    heard = np.zeros(len(songs), bool)
    rows = unknown = 0
    found: list[tuple[pa.Array, Codes, npt.NDArray[np.int64]]] = []
    for batch in _triplets(files, counts=interactions):
        codes = pc.index_in(batch.column("song"), value_set=songs)
        rows += batch.num_rows
        unknown += codes.null_count
        known = codes.drop_null().to_numpy()
        heard[known] = True
        if interactions:
            here = batch.filter(pc.is_valid(codes))
            found.append((pc.dictionary_encode(here.column("user")), known, here.column("count").to_numpy()))
    if rows == 0 or unknown == rows:
        raise files.wrong_file(_TRIPLETS, f"none of its {rows:,} songs is known; is it the published file?")
    if unknown:
        notes.append(f"Taste Profile: {unknown:,} of {rows:,} triplets are of songs that have no track: left out")

    pair_heard = pa.array(heard[song_codes])
    out = pc.and_(pc.and_(mismatched, pc.is_valid(places)), pair_heard)
    listened = pairs.column("track_id").combine_chunks().filter(pc.and_(kept, pair_heard)).unique()
    mismatches = _excluded(files, pairs.filter(out), listened)
    if count := int(pc.sum(pc.and_(mismatched, pair_heard)).as_py() or 0):
        notes.append(
            f"Taste Profile: {count:,} song-track pairs that were listened to are in {files.path(_MISMATCHES)}: "
            f"they do not count ({mismatches.num_rows:,} tracks have no other listeners)"
        )
    made = None
    if interactions:
        of_pair = kept.to_numpy(zero_copy_only=False)
        tracks = pc.fill_null(places, -1).to_numpy()[of_pair]
        made = _interactions(found, song_codes[of_pair], tracks, len(songs), track_ids)
    return TasteProfile(LISTENED.conform(pa.table({"track_id": listened})), made, mismatches, tuple(notes))


def _song_tracks(files: MillionSongFiles) -> tuple[pa.Table, list[str]]:
    """Columns song_id and track_id: the Taste Profile's own list, or else what the metadata says."""
    if not files.has(_SONG_TRACKS):
        return files.songs(), [
            "Taste Profile: taste_profile_song_to_tracks.txt is not there: the metadata's song ids say which "
            "tracks the songs are"
        ]
    pairs, without = _parsed_at_once(files) or _parsed_by_line(files)
    return pairs, [
        f"Taste Profile: {without:,} songs have no track in {files.path(_SONG_TRACKS)}"
    ] if without else []


def _parsed_at_once(files: MillionSongFiles) -> tuple[pa.Table, int] | None:
    """What `_parsed_by_line` returns; None when a line is not as published."""
    with files.opened(_SONG_TRACKS) as stream:
        content = stream.read()
    try:
        text = pa.array([content.removesuffix(b"\n")], pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return None
    cells = pc.split_pattern(pc.split_pattern(text, "\n").values, "\t")
    first = cells.offsets.to_numpy()[:-1]
    number = pa.array(np.repeat(np.arange(len(cells)), np.diff(cells.offsets.to_numpy())))
    is_song = np.zeros(len(cells.values), bool)
    is_song[first] = True
    songs = cells.values.take(pa.array(first))
    is_track = pc.and_(pa.array(~is_song), pc.not_equal(cells.values, ""))
    tracks = cells.values.filter(is_track)
    for column, pattern in ((songs, _SONG), (tracks, _TRACK)):
        if not pc.all(pc.match_substring_regex(column, f"\\A(?:{pattern.pattern})\\z")).as_py():
            return None
    of_song = number.filter(is_track)
    without = len(songs) - len(of_song.unique())
    return pa.table({"song_id": songs.take(of_song), "track_id": tracks}), without


def _parsed_by_line(files: MillionSongFiles) -> tuple[pa.Table, int]:
    """The list's pairs, and how many songs have no track."""
    songs: list[str] = []
    tracks: list[str] = []
    without = 0
    for number, line in files.lines(_SONG_TRACKS):
        song, *of_song = line.split("\t")
        of_song = [track for track in of_song if track]
        if not _SONG.fullmatch(song) or not all(_TRACK.fullmatch(track) for track in of_song):
            raise files.wrong(_SONG_TRACKS, number, "is not written song, track, track, … with tabs between")
        without += not of_song
        songs.extend([song] * len(of_song))
        tracks.extend(of_song)
    return pa.table({"song_id": pa.array(songs, pa.string()), "track_id": pa.array(tracks, pa.string())}), without


def _mismatches(files: MillionSongFiles) -> pa.Table:
    songs: list[str] = []
    tracks: list[str] = []
    for number, line in files.lines(_MISMATCHES):
        found = _MISMATCH.match(line)
        if found is None and line.strip():
            raise files.wrong(_MISMATCHES, number, f"{line[:60]!r} is not written ERROR: <SO… TR…> …")
        if found is not None:
            songs.append(found[1])
            tracks.append(found[2])
    return pa.table({"song_id": pa.array(songs, pa.string()), "track_id": pa.array(tracks, pa.string())})


def _joined(pairs: pa.Table) -> pa.Array:
    columns = [pairs.column(name).combine_chunks() for name in ("song_id", "track_id")]
    return pc.binary_join_element_wise(*columns, " ")


def _triplets(files: MillionSongFiles, *, counts: bool) -> Iterator[pa.RecordBatch]:
    """The triplets, a block of the file at a time; without `counts` the songs only."""
    types = {"user": pa.string(), "song": pa.string(), "count": pa.int64()}
    with files.opened(_TRIPLETS) as stream:
        try:
            reader = csv.open_csv(
                stream,
                csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=list(types)),
                csv.ParseOptions(delimiter="\t", quote_char=False),
                csv.ConvertOptions(
                    column_types=types,
                    include_columns=list(types) if counts else ["song"],
                    strings_can_be_null=False,
                ),
            )
            for batch in reader:
                if counts and (low := pc.index(pc.less(batch.column("count"), 1), True).as_py()) >= 0:
                    number = batch.column("count")[low].as_py()
                    song = batch.column("song")[low].as_py()
                    raise files.wrong_file(_TRIPLETS, f"a count of {number} (of song {song!r}), and 1 is the least")
                yield batch
        except pa.ArrowInvalid as error:
            problem = " ".join(str(error).split())[:200]
            raise files.wrong_file(
                _TRIPLETS, f"is not written user, song, count with tabs between ({problem})"
            ) from error


def _excluded(files: MillionSongFiles, pairs: pa.Table, listened: pa.Array) -> pa.Table:
    """Tracks that were listened to under wrong songs only."""
    pairs = pairs.filter(pc.invert(pc.is_in(pairs.column("track_id"), value_set=listened)))
    first = pairs.group_by("track_id", use_threads=False).aggregate([("song_id", "min")])
    detail = pc.binary_join_element_wise(
        first.column("song_id_min").combine_chunks(),
        f"is another recording ({files.path(_MISMATCHES)}): its listeners do not count",
        " ",
    )
    return excluded_rows(first.column("track_id").combine_chunks(), Reason.MISMATCHED, detail)


def _interactions(
    found: list[tuple[pa.Array, Codes, npt.NDArray[np.int64]]],
    pair_songs: npt.NDArray[np.int64],
    pair_tracks: npt.NDArray[np.int64],
    songs: int,
    track_ids: pa.Array,
) -> pa.Table:
    """Plays of each listener and track, added up over the songs of the track.

    Args:
        found: for each block the listeners, song codes and counts.
        pair_songs, pair_tracks: song code and track code of each song-track pair.
    """
    listeners = pa.chunked_array([users for users, _, _ in found]).unify_dictionaries()
    names = listeners.chunk(0).dictionary if found else pa.array([], pa.string())
    order = pc.sort_indices(names).to_numpy()
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    codes = [rank[chunk.indices.to_numpy()] for chunk in listeners.chunks]
    del listeners

    by_song = np.argsort(pair_songs, kind="stable")
    tracks_of = pair_tracks[by_song]
    starts = np.searchsorted(pair_songs[by_song], np.arange(songs + 1))
    keys: list[npt.NDArray[np.int64]] = []
    plays: list[npt.NDArray[np.int64]] = []
    for users, (_, song, count) in zip(codes, found, strict=True):
        first, several = starts[song], starts[song + 1] - starts[song]
        row = np.repeat(np.arange(len(song)), several)
        within = np.arange(len(row)) - np.repeat(np.cumsum(several) - several, several)
        keys.append(users[row] * len(track_ids) + tracks_of[first[row] + within])
        plays.append(count[row])
    key, count = np.concatenate(keys), np.concatenate(plays)
    del codes, keys, plays
    if np.any(key[1:] <= key[:-1]):
        placed = np.argsort(key, kind="stable")
        key, count = key[placed], count[placed]
        del placed
        start = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.zeros(0, np.int64)
        key, count = key[start], np.add.reduceat(count, start) if len(start) else count
    table = pa.table(
        {
            "group_id": pa.DictionaryArray.from_arrays((key // len(track_ids)).astype(np.int32), names.take(order)),
            "kind": pa.DictionaryArray.from_arrays(np.zeros(len(key), np.int32), pa.array(["listener"])),
            "track_id": pa.DictionaryArray.from_arrays((key % len(track_ids)).astype(np.int32), track_ids),
            "count": count,
        }
    )
    return table.select(INTERACTIONS.schema.names)
