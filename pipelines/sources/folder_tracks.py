"""The tracks of a folder, from what a look at each file found and what the CSV beside them says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.file_kinds import SUFFIXES_OF
from pipelines.sources.artists import artist_id
from pipelines.sources.collaborations import is_nobody
from pipelines.sources.excluded_rows import excluded_rows
from pipelines.sources.probes import TEXT, slices
from schemas.coded import plain
from schemas.tables import ANNOTATIONS
from schemas.tables.tracks import UNKNOWN_ARTIST

_SAID = ["genre", "tags"]


@dataclass(frozen=True)
class FolderTracks:
    """Some of a folder's files.

    Attributes:
        tracks: columns of `tracks`; `artist_name` as written; `folder_artist`: whether that is only a folder's
            name; `cut`: whether the file ends early; `described`: whether the CSV has a row of it; `known`: how
            much is known of it beside its sound, the row before an artist of its own before a genre or tags; and
            what is said of the track: `genre` and `tags`, lists of text.
        exclusions: files that are no tracks.
        misnamed: a line for each file whose content is not what its name says.
    """

    tracks: pa.Table
    exclusions: pa.Table
    misnamed: list[str]


def tracks_of(probes: pa.Table, said: pa.Table) -> FolderTracks:
    """Put together what is known of some files.

    Args:
        probes: as `pipelines.sources.probes.PROBES`.
        said: as `pipelines.sources.folder_metadata.METADATA`, a row for each of them, null where nothing is said.
    """
    bad = pc.is_valid(probes.column("reason"))
    exclusions = _excluded(probes.filter(bad), said.filter(bad))
    if exclusions.num_rows:  # else what is given is used as it lies, for text is what weighs most
        probes, said = probes.filter(pc.invert(bad)), said.filter(pc.invert(bad))
    probes, said = probes.combine_chunks(), said.combine_chunks()
    paths = probes.column("path")
    ids = _first_of(said.column("track_id"), paths)
    names, by_folder = _artists(_first_of(said.column("artist"), probes.column("artist")), paths)
    titles = _first_of(said.column("title"), probes.column("title"))
    tracks = {
        "track_id": ids,
        "artist_id": pa.array(map(_artist_id, names), pa.string()).dictionary_encode(),
        "artist_name": pa.array(names, pa.string()).dictionary_encode(),
        "album": _first_of(said.column("album"), probes.column("album")),
        "title": _filled(titles, paths, lambda path: PurePosixPath(path).stem),
        "year": pc.coalesce(said.column("year"), probes.column("year")),
        "duration_s": probes.column("duration_s"),
        "audio_uri": paths,
        "audio_sha256": probes.column("sha256"),
        "recording_id": probes.column("sound"),
        "licence": said.column("licence"),
        "folder_artist": pa.array(by_folder, pa.bool_()),
        "cut": pc.fill_null(pc.invert(probes.column("whole")), False),
        "described": pc.is_valid(said.column("path")),
        "genre": pc.coalesce(_lists(said.column("genre")), probes.column("genres")),
        "tags": _lists(said.column("tags")),
    }
    signs = [
        pc.or_(*(pc.fill_null(pc.greater(pc.list_value_length(tracks[name]), 0), False) for name in _SAID)),
        pc.and_not(pc.is_valid(tracks["artist_name"]), tracks["folder_artist"]),
        tracks["described"],
    ]
    tracks["known"] = reduce(pc.add, (pc.multiply(sign.cast(pa.int8()), 1 << n) for n, sign in enumerate(signs)))
    return FolderTracks(pa.table(tracks), exclusions, _misnamed(probes))


def annotations_of(tracks: pa.Table) -> pa.Table:
    """What is said of tracks, given as `FolderTracks.tracks`: `annotations`, text dictionary-encoded."""
    rows, sources, tags = [], [], []
    before = 0
    for batch in tracks.select(_SAID).to_batches():
        for source, said in enumerate(batch.columns):
            rows.append(pc.list_parent_indices(said).to_numpy().astype(np.int32) + before)
            tags.append(said.flatten().cast(pa.string()).dictionary_encode())
            sources.append(np.full(len(tags[-1]), source, np.int8))
        before += batch.num_rows
    if not rows:
        return ANNOTATIONS.empty()
    ids = pa.concat_arrays(tracks.column("track_id").cast(pa.string()).chunks)
    columns = {
        "track_id": pa.DictionaryArray.from_arrays(np.concatenate(rows), ids),
        "source": pa.DictionaryArray.from_arrays(np.concatenate(sources), _SAID),
        "raw_tag": pa.chunked_array(tags).unify_dictionaries(),
        "score": pa.nulls(sum(map(len, tags)), pa.float64()),
    }
    return pa.table(columns)


def with_artists_of_folders(tracks: pa.Table) -> pa.Table:
    """Tracks, given as `FolderTracks.tracks`, of which those without an artist have the one of their folder.

    Where all named artists of a folder are one, the folder's other tracks are taken for that artist's, whatever the
    folder is called: they must not come into another split than the rest. `artist_name` of those is null.
    """
    if not pc.any(tracks.column("folder_artist")).as_py():
        return tracks
    artists = pa.table(_artists_of_folders(tracks), names=["folder", "artist"])
    return pa.concat_tables([_with_artists(part, artists) for part in slices(tracks)])


def _artists_of_folders(tracks: pa.Table) -> list[pa.Array]:
    """Folders of which all named artists are one, and that artist's id."""
    named, unnamed = defaultdict[str, set[str]](set), set[str]()
    for part in slices(tracks.select(["audio_uri", "artist_id", "artist_name", "folder_artist"])):
        columns = [_folders(part), *(plain(part.column(name)) for name in part.column_names[1:])]
        groups = pa.table(columns, names=["folder", "artist", "name", "unnamed"])
        for row in groups.group_by(groups.column_names).aggregate([]).to_pylist():
            if row["folder"] is None:
                continue
            if row["unnamed"]:
                unnamed.add(row["folder"])
            elif row["name"] is not None and not is_nobody(row["name"]):
                named[row["folder"]].add(row["artist"])
    chosen = sorted(folder for folder in unnamed if len(named[folder]) == 1)
    return [pa.array(chosen, TEXT), pa.array([next(iter(named[folder])) for folder in chosen], pa.string())]


def _with_artists(part: pa.Table, artists: pa.Table) -> pa.Table:
    found = pc.index_in(_folders(part), value_set=artists.column("folder"))
    theirs = pc.and_(part.column("folder_artist"), pc.is_valid(found))
    if not pc.any(theirs).as_py():
        return part
    columns = {
        "artist_id": pc.if_else(theirs, artists.column("artist").take(found), plain(part.column("artist_id"))),
        "artist_name": pc.if_else(theirs, pa.scalar(None, pa.string()), plain(part.column("artist_name"))),
    }
    for name, values in columns.items():
        part = part.set_column(part.column_names.index(name), name, values.dictionary_encode())
    folder_artist = pc.and_not(part.column("folder_artist"), theirs)
    return part.set_column(part.column_names.index("folder_artist"), "folder_artist", folder_artist)


def _folders(part: pa.Table) -> pa.Array:
    """The first folder of each track's path, null for a file in the source's own."""
    return pc.extract_regex(part.column("audio_uri"), "^(?P<folder>[^/]+)/").combine_chunks().field(0)


def _first_of(said: pa.ChunkedArray, found: pa.ChunkedArray) -> pa.ChunkedArray:
    """What the CSV says, or what the file itself does."""
    if said.null_count == len(said):
        return found
    return pc.coalesce(_not_empty(said), found)


def _not_empty(said: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(said, ""), pa.scalar(None, said.type), said)


def _filled(values: pa.ChunkedArray, paths: pa.ChunkedArray, of_path: Callable[[str], str]) -> pa.ChunkedArray:
    if not values.null_count:
        return values
    pairs = zip(values.to_pylist(), paths.to_pylist(), strict=True)
    return pa.chunked_array([pa.array([of_path(path) if value is None else value for value, path in pairs], TEXT)])


def _artists(tagged: pa.ChunkedArray, paths: pa.ChunkedArray) -> tuple[list[str | None], list[bool]]:
    """Each artist's name as written, and whether it is only a folder's."""
    names = tagged.to_pylist()
    by_folder = [False] * len(names)
    for place, name in enumerate(names):
        if name is None or artist_id(name) == UNKNOWN_ARTIST:
            folders = PurePosixPath(paths[place].as_py()).parts[:-1]
            names[place] = folders[0] if folders else None
            by_folder[place] = bool(folders)
    return names, by_folder


def _artist_id(name: str | None) -> str:
    return artist_id(name) if name else UNKNOWN_ARTIST


def _lists(said: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values between `;`, each once; null where nothing is said."""
    kind = pa.list_(TEXT)
    if said.null_count == len(said):
        return pa.chunked_array([pa.nulls(len(said), kind)])
    return pa.chunked_array([pa.array([_several(value) if value else None for value in said.to_pylist()], kind)])


def _several(value: str) -> list[str]:
    return [part for part in dict.fromkeys(piece.strip() for piece in value.split(";")) if part]


def _excluded(probes: pa.Table, said: pa.Table) -> pa.Table:
    ids = _first_of(said.column("track_id"), probes.column("path"))
    return excluded_rows(ids, probes.column("reason"), probes.column("detail"))


def _misnamed(probes: pa.Table) -> list[str]:
    wrong: list[tuple[str, str]] = []
    for kind in probes.column("kind").unique().drop_null().to_pylist():
        paths = probes.column("path").filter(pc.fill_null(pc.equal(probes.column("kind"), kind), False))
        # A folder lists files with a suffix of audio, so what ends like one does not have it for its whole name.
        named = [pc.ends_with(paths, suffix, ignore_case=True) for suffix in sorted(SUFFIXES_OF[kind])]
        wrong.extend((path, kind) for path in paths.filter(pc.invert(reduce(pc.or_, named))).to_pylist())
    return [f"{path} is {kind}" for path, kind in sorted(wrong)]
