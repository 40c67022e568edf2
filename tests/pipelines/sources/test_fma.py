from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.fma import Fma, FmaSettings
from schemas.errors import UsageError

# The 52 columns of tracks.csv, as published.
COLUMNS = {
    "album": (
        "comments date_created date_released engineer favorites id information listens producer tags title tracks "
        "type"
    ),
    "artist": (
        "active_year_begin active_year_end associated_labels bio comments date_created favorites id latitude "
        "location longitude members name related_projects tags website wikipedia_page"
    ),
    "set": "split subset",
    "track": (
        "bit_rate comments composer date_created date_recorded duration favorites genre_top genres genres_all "
        "information interest language_code license listens lyricist number publisher tags title"
    ),
}
PAIRS = [(part, name) for part, names in COLUMNS.items() for name in names.split()]
GENRES = [
    ("genre_id", "#tracks", "parent", "title", "top_level"),
    (21, 12730, 0, "Hip-Hop", 21),
    (10, 13845, 0, "Pop", 10),
    (76, 1585, 10, "Experimental Pop", 10),
    (297, 1, 76, "Odd Pop", 10),
    (12, 32923, 0, "Rock", 12),
]
Row = dict[tuple[str, str], object]


def track(number: int, artist: int = 1, top: str = "Hip-Hop", genres: str = "[21]", **changes: object) -> Row:
    row: Row = {
        ("track_id", ""): number,
        ("album", "date_released"): "2009-01-05 00:00:00",
        ("album", "information"): '<p>An album,\nin "two" lines</p>',
        ("album", "title"): "AWOL - A Way Of Life",
        ("artist", "id"): artist,
        ("artist", "name"): f"Artist {artist}",
        ("artist", "bio"): "Born;\r\nstill here",
        ("set", "split"): "training",
        ("set", "subset"): "small",
        ("track", "duration"): 168,
        ("track", "genre_top"): top,
        ("track", "genres"): genres,
        ("track", "genres_all"): genres,
        ("track", "license"): "Attribution-NonCommercial",
        ("track", "title"): f"Track {number}",
    }
    for name, value in changes.items():
        part, _, column = name.partition("_")
        row[part, column] = value
    return row


def publish(folder: Path, rows: list[Row]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tracks.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["", *(part for part, _ in PAIRS)])
        writer.writerow(["", *(name for _, name in PAIRS)])
        writer.writerow(["track_id", *("" for _ in PAIRS)])
        writer.writerows([row["track_id", ""], *(row.get(pair, "") for pair in PAIRS)] for row in rows)
    with (folder / "genres.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(GENRES)
    return folder


def source(context: SourceContext, folder: Path, **keys: Any) -> Fma:
    return Fma(FmaSettings(kind="fma", path=str(folder), **keys), context)


ROWS = [
    track(2),
    track(5, artist=2, set_split="validation", top="Pop", genres="[76]", track_genres_all="[10, 76]"),
    track(10, artist=3, set_split="test", set_subset="medium", album_date_released=""),
    track(140, artist=4, set_subset="large", top="", genres="[21, 10]"),
]


def test_the_header_of_three_rows_and_cells_of_several_lines(tmp_path: Path, context: SourceContext) -> None:
    assert len(PAIRS) == 52
    tables = source(context, publish(tmp_path / "meta", ROWS)).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert set(rows) == {"2", "5"}
    first = rows["2"]
    assert (first["artist_id"], first["artist_name"], first["title"]) == ("1", "Artist 1", "Track 2")
    assert (first["album"], first["year"], first["duration_s"]) == ("AWOL - A Way Of Life", 2009, 168.0)
    assert (first["audio_uri"], first["licence"]) == ("000/000002.mp3", "Attribution-NonCommercial")
    assert [(r["track_id"], r["source"], r["raw_tag"]) for r in tables.annotations.to_pylist()] == [
        ("2", "genre", "Hip-Hop"),
        ("5", "genre", "Pop"),
    ]
    assert tables.published is not None
    assert {r["track_id"]: r["split"] for r in tables.published.to_pylist()} == {"2": "train", "5": "valid"}


@pytest.mark.parametrize(
    ("subset", "tracks"),
    [("small", {"2", "5"}), ("medium", {"2", "5", "10"}), ("large", {"2", "5", "10", "140"})],
)
def test_a_subset_holds_the_smaller_ones(
    subset: str, tracks: set[str], tmp_path: Path, context: SourceContext
) -> None:
    tables = source(context, publish(tmp_path / "meta", ROWS), subset=subset).read()
    assert set(tables.tracks.column("track_id").to_pylist()) == tracks


def test_the_hierarchy_of_the_genres_is_the_taxonomy(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "meta", ROWS)
    taxonomy = source(context, folder).read().taxonomy
    assert taxonomy is not None
    assert {row["raw_tag"]: row["parent"] for row in taxonomy.to_pylist()} == {
        "Hip-Hop": None,
        "Pop": None,
        "Rock": None,
        "Experimental Pop": "Pop",
        "Odd Pop": "Experimental Pop",
    }
    assert set(taxonomy.column("category").to_pylist()) == {"genre"}


def test_a_tracks_genres_are_its_top_its_own_or_all(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "meta", ROWS)

    def tags(kind: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in source(context, folder, subset="full", genres=kind).read().annotations.to_pylist():
            found.setdefault(row["track_id"], set()).add(row["raw_tag"])
        return {track_id: found.get(track_id, set()) for track_id in ("5", "140")}

    assert tags("top") == {"5": {"Pop"}, "140": set()}
    assert tags("own") == {"5": {"Experimental Pop"}, "140": {"Hip-Hop", "Pop"}}
    assert tags("all") == {"5": {"Experimental Pop", "Pop"}, "140": {"Hip-Hop", "Pop"}}


def test_a_repeated_id_is_told(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "meta", [*ROWS, track(2, artist=9)])).read()
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [("2", "duplicate_id")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (track(7, set_split="dev"), "line 6: set split 'dev' is none of the published"),
        (track(7, set_subset="tiny"), "line 6: set subset 'tiny' is none of the published"),
        (track(7, top="Polka"), "line 6: genre_top 'Polka' is not in genres.csv"),
        (track(7, track_duration="long"), "line 6: track duration 'long' is no number"),
        (track(7) | {("track_id", ""): "seven"}, "line 6: track_id 'seven' is no number"),
    ],
)
def test_a_row_that_is_not_as_published_is_named(
    row: Row, message: str, tmp_path: Path, context: SourceContext
) -> None:
    first = track(2, album_information="one line", artist_bio="one\nmore line")
    with pytest.raises(UsageError, match=rf"tracks\.csv: {message}"):
        source(context, publish(tmp_path / "meta", [first, row])).read()


def test_lists_of_genres_are_checked(tmp_path: Path, context: SourceContext) -> None:
    for listed, message in (("__import__('os')", "is no list of genre ids"), ("[999]", "genre 999 is not in")):
        folder = publish(tmp_path / "meta", [track(2, genres=listed)])
        with pytest.raises(UsageError, match=message):
            source(context, folder, genres="own").read()


@pytest.mark.parametrize("content", ["", "track_id,title\n1,a\n", "a,b\nc,d\ntrack_id,\n1,2\n"])
def test_another_file_is_named(content: str, tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "meta", ROWS)
    (folder / "tracks.csv").write_text(content, "utf-8")
    with pytest.raises(
        UsageError, match=r"tracks\.csv: line [23]: (not the three published header rows|no column)"
    ):
        source(context, folder).read()


def test_a_parent_that_is_no_genre_is_named(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "meta", ROWS)
    text = (folder / "genres.csv").read_text("utf-8")
    (folder / "genres.csv").write_text(text.replace("76,1585,10", "76,1585,11"), "utf-8")
    with pytest.raises(UsageError, match=r"genres\.csv: line 4: the parent '11' of 'Experimental Pop' is no genre"):
        source(context, folder).read()


def test_the_recipe_builds_and_tells_of_the_leaks(tmp_path: Path, audited: Callable[..., Any]) -> None:
    splits = ("training", "training", "training", "validation", "test")
    rows = [
        track(
            10 * artist + n, artist=artist, top=("Rock", "Pop", "Hip-Hop")[artist % 3], set_split=splits[artist % 5]
        )
        for artist in range(1, 21)
        for n in range(3)
    ]
    rows.append(track(900, artist=1, set_split="test"))
    found = audited("fma", publish(tmp_path / "meta", rows))
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert found.shared("published", "artists") == 1
    assert found.strict == 1
    assert found.sizes("published") == {"train": 36, "valid": 12, "test": 13}


def test_a_header_with_a_quote_that_nobody_closes(tmp_path: Path, context: SourceContext) -> None:
    """Its third row has nothing but a first cell, so that one more takes nothing that is missed."""
    folder = publish(tmp_path / "meta", ROWS)
    lines = (folder / "tracks.csv").read_text("utf-8").split("\n")
    (folder / "tracks.csv").write_text("\n".join([*lines[:2], f'{lines[2]}"', "2,a", "5,b", ""]), "utf-8")
    with pytest.raises(UsageError, match=r"tracks\.csv: line 3: a quoted cell does not end"):
        source(context, folder).read()
