"""What is known of a million tracks: `track_metadata.db`, or, with less in it, `unique_tracks.txt`."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.artists import artist_id, artist_key
from pipelines.sources.msd.sqlite import opened_sqlite
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from schemas.tables.tracks import UNKNOWN_ARTIST

DATABASE, UNIQUE_TRACKS = "track_metadata", "unique_tracks"
METADATA_FILES = {
    DATABASE: PublishedFile(
        ("track_metadata.db", "AdditionalFiles/track_metadata.db"),
        about="the Million Song Dataset's additional file track_metadata.db (SQLite, about 700 MB), or its "
        "unique_tracks.txt (about 84 MB), which knows artists by name only",
        required=False,
    ),
    UNIQUE_TRACKS: PublishedFile(
        ("unique_tracks.txt", "AdditionalFiles/unique_tracks.txt"),
        about="the Million Song Dataset's additional file unique_tracks.txt (about 84 MB)",
        unless=DATABASE,
    ),
}

# MusicBrainz' artist that stands for nobody in particular.
_VARIOUS_MBID = "89ad4ac3-39f7-470e-963a-56509c546377"
_VARIOUS_KEYS = frozenset({"various artists", "various", "v a"})
_TEXT = pa.string()
_COLUMNS = {
    "track_id": _TEXT,
    "title": _TEXT,
    "song_id": _TEXT,
    "release": _TEXT,
    "artist_id": _TEXT,
    "artist_mbid": _TEXT,
    "artist_name": _TEXT,
    "duration": pa.float64(),
    "year": pa.int64(),
}
_SEPARATOR = "<SEP>"


def read_metadata(files: PublishedFiles) -> tuple[pa.Table, tuple[str, ...]]:
    """Every track once, in the order of track ids.

    Returns:
        a table (track_id, song_id, artist_id, artist_name, artist_mbid, album, title, year, duration_s), in which
        what is unknown is null, and an artist who is nobody in particular is `UNKNOWN_ARTIST`; and notes.

    Raises:
        UsageError: the file is not as published, or has a track twice.
    """
    if files.has(DATABASE):
        table = _of_database(files)
        notes: tuple[str, ...] = ()
    else:
        table = _of_unique_tracks(files)
        notes = (
            f"{files.path(UNIQUE_TRACKS)} in place of track_metadata.db: artists are known by name only, and "
            "albums, years and durations are not",
        )
    table = table.take(pc.sort_indices(table.column("track_id")))
    ids = table.column("track_id").combine_chunks()
    again = pc.equal(ids[1:], ids[:-1]) if len(ids) > 1 else pa.array([], pa.bool_())
    if (place := pc.index(again, True).as_py()) >= 0:
        key = DATABASE if files.has(DATABASE) else UNIQUE_TRACKS
        raise files.wrong_file(key, f"has the track {ids[place].as_py()!r} twice")
    return _with_artists(table), notes


def artist_keys(tracks: pa.Table) -> pa.Table:
    """The MBIDs by which artists are known: columns artist_id and key, each pair once.

    Args:
        tracks: columns artist_id and artist_mbid.
    """
    known = pc.and_(
        pc.is_valid(tracks.column("artist_mbid")), pc.not_equal(tracks.column("artist_id"), UNKNOWN_ARTIST)
    )
    pairs = tracks.select(["artist_id", "artist_mbid"]).filter(known)
    pairs = pairs.group_by(["artist_id", "artist_mbid"], use_threads=False).aggregate([])
    pairs = pairs.select(["artist_id", "artist_mbid"]).rename_columns(["artist_id", "key"])
    return pairs.sort_by([("artist_id", "ascending"), ("key", "ascending")])


def _of_database(files: PublishedFiles) -> pa.Table:
    with opened_sqlite(files, DATABASE) as database:
        table = database.columns("songs", _COLUMNS, ids=True)
    for column in ("track_id", "song_id"):
        empty = _nulls(table.column(column))
        if (place := pc.index(pc.is_null(empty), True).as_py()) >= 0:
            row = table.column("rowid")[place].as_py()
            raise files.wrong_file(DATABASE, f"table 'songs', column {column!r}, row {row}: is empty")
    year, seconds = table.column("year"), table.column("duration")
    whole = pc.and_(pc.greater(year, 0), pc.less(year, 10_000))
    return pa.table(
        {
            "track_id": table.column("track_id"),
            "song_id": table.column("song_id"),
            "artist_id": _nulls(table.column("artist_id")),
            "artist_name": _nulls(table.column("artist_name")),
            "artist_mbid": _nulls(table.column("artist_mbid")),
            "album": _nulls(table.column("release")),
            "title": _nulls(table.column("title")),
            # 0 stands for a year that is not known.
            "year": pc.if_else(whole, year, None).cast(pa.int32()),
            "duration_s": pc.if_else(pc.and_(pc.greater(seconds, 0), pc.is_finite(seconds)), seconds, None),
        }
    )


def _of_unique_tracks(files: PublishedFiles) -> pa.Table:
    columns: list[list[str]] = [[], [], [], []]
    for number, line in files.lines(UNIQUE_TRACKS):
        # A title may hold anything, the separator too.
        cells = line.split(_SEPARATOR, 3)
        if len(cells) != 4 or not cells[0] or not cells[1]:
            raise files.wrong(UNIQUE_TRACKS, number, "is not written track<SEP>song<SEP>artist<SEP>title")
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    tracks, songs, artists, titles = (pa.array(column, _TEXT) for column in columns)
    nothing = pa.nulls(len(tracks), _TEXT)
    return pa.table(
        {
            "track_id": tracks,
            "song_id": songs,
            "artist_id": nothing,
            "artist_name": _nulls(artists),
            "artist_mbid": nothing,
            "album": nothing,
            "title": _nulls(titles),
            "year": pa.nulls(len(tracks), pa.int32()),
            "duration_s": pa.nulls(len(tracks), pa.float64()),
        }
    )


def _with_artists(table: pa.Table) -> pa.Table:
    """Artist ids where the metadata has none, and one id for nobody in particular."""
    names = pc.dictionary_encode(table.column("artist_name").combine_chunks())
    known = list(names.dictionary.to_pylist())
    various = pa.array([artist_key(name) in _VARIOUS_KEYS for name in known], pa.bool_())
    nobody = pc.or_(
        pc.fill_null(various.take(names.indices), False),
        pc.fill_null(pc.equal(table.column("artist_mbid"), _VARIOUS_MBID), False).combine_chunks(),
    )
    ids = table.column("artist_id").combine_chunks()
    if ids.null_count:
        made = pa.array([artist_id(name) for name in known], _TEXT)
        ids = pc.coalesce(ids, made.take(names.indices), UNKNOWN_ARTIST)
    ids = pc.if_else(nobody, UNKNOWN_ARTIST, ids)
    return table.set_column(table.column_names.index("artist_id"), "artist_id", ids)


def _nulls(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null where the text is empty, or nothing but space."""
    empty = pc.or_(pc.equal(column, ""), pc.utf8_is_space(column))
    return pc.if_else(empty, None, column) if pc.any(empty).as_py() else column
