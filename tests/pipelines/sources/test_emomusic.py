from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.emomusic import Emomusic
from pipelines.sources.published_files import PublishedFilesSettings
from schemas.errors import UsageError

SONGS = (
    "song_id",
    "file_name",
    "Artist",
    "Song title",
    "start of the segment (min.sec)",
    "end of the segment (min.sec)",
    "Genre",
    "Mediaeval 2013 set",
)
RATINGS = ("song_id", "mean_arousal", "std_arousal", "mean_valence", "std_valence")
Rows = list[tuple[str, ...]]
# Song 2 as published, with a tab behind its cells as others have; jukemir validates on it.
PUBLISHED: Rows = [
    (
        "2",
        "2.mp3\t",
        "The New Mystikal Troubadours\t",
        "Tonight  A Lonely Century\t",
        "0.48",
        "1.33",
        "Blues",
        "development",
    ),
    ("4", "4.mp3", "Someone", "Song", "0.5", "1.35", "Rock", "evaluation"),
]
RATED: Rows = [("2", "3.1", "0.99443", "3", "0.66667"), ("4", "3.5", "1.8409", "3.3", "1.7029")]


def publish(folder: Path, songs: Rows, rated: Rows) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, head, rows in (("songs_info", SONGS, songs), ("static_annotations", RATINGS, rated)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([head, *rows])
    return folder


def source(context: SourceContext, folder: Path) -> Emomusic:
    return Emomusic(PublishedFilesSettings(kind="emomusic", path=str(folder)), context)


def test_ratings_are_targets_and_genres_tags(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "emo", PUBLISHED, RATED)).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert rows["2"]["artist_name"] == "The New Mystikal Troubadours"
    assert rows["2"]["title"] == "Tonight  A Lonely Century"
    assert (rows["2"]["start_s"], rows["2"]["end_s"], rows["2"]["duration_s"]) == (48.0, 93.0, 45.0)
    # Half a minute is .3 or .30: a single digit is tens of seconds.
    assert (rows["4"]["start_s"], rows["4"]["end_s"]) == (50.0, 95.0)
    assert rows["2"]["audio_uri"] == "2.mp3"
    assert tables.targets is not None
    targets = {(r["track_id"], r["name"]): r["value"] for r in tables.targets.to_pylist()}
    assert targets["2", "arousal"] == 3.1
    assert targets["2", "valence"] == 3.0
    assert targets["4", "valence_std"] == 1.7029
    assert [(r["track_id"], r["raw_tag"]) for r in tables.annotations.to_pylist()] == [
        ("2", "Blues"),
        ("4", "Rock"),
    ]


def test_both_splits_are_kept(tmp_path: Path, context: SourceContext) -> None:
    published = source(context, publish(tmp_path / "emo", PUBLISHED, RATED)).read().published
    assert published is not None
    assert {(r["scheme"], r["track_id"]): r["split"] for r in published.to_pylist()} == {
        ("published", "2"): "train",
        ("published", "4"): "test",
        ("published_jukemir", "2"): "valid",
        ("published_jukemir", "4"): "test",
    }


def test_songs_and_ratings_that_do_not_meet_are_told(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "emo", PUBLISHED, [RATED[0], ("9", *RATED[1][1:])])).read()
    assert tables.notes == (
        "1 songs have no row in static_annotations.csv",
        "1 rows of static_annotations.csv are of no song in songs_info.csv",
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("songs_info", "development", "dev", "line 2: Mediaeval 2013 set 'dev' is neither"),
        ("songs_info", "0.48", "0.7.8", r"line 2: start of the segment \(min\.sec\) '0\.7\.8' is not written"),
        ("songs_info", "2.mp3", "../2.mp3", "line 2: file_name '../2.mp3' is not written"),
        ("songs_info", "Genre", "Style", "line 1: no column 'Genre'"),
        ("static_annotations", "3.1", "high", "line 2: mean_arousal 'high' is no number"),
        ("static_annotations", "\r\n4,", "\r\n2,", "line 3: song 2 stands twice"),
    ],
)
def test_what_is_not_as_published_is_named(
    file: str, old: str, new: str, message: str, tmp_path: Path, context: SourceContext
) -> None:
    folder = publish(tmp_path / "emo", PUBLISHED, RATED)
    content = (folder / f"{file}.csv").read_bytes().decode()
    assert old in content
    (folder / f"{file}.csv").write_bytes(content.replace(old, new, 1).encode())
    with pytest.raises(UsageError, match=rf"{file}\.csv: {message}"):
        source(context, folder).read()


def test_the_recipe_builds_and_tells_of_the_leaks(tmp_path: Path, audited: Callable[..., Any]) -> None:
    songs: Rows = []
    for number in range(48):
        artist = f"Singer {'abcdefghijklmnopqrstuvwx'[number % 24]}"
        genre = ("Rock", "Pop", "Folk")[number % 3]
        part = "evaluation" if number % 24 >= 20 else "development"
        songs.append((str(number), f"{number}.mp3", artist, f"Song {number}", "0.0", "0.45", genre, part))
    songs.append(("100", "100.mp3", "singer a", "Song 100", "1.0", "1.45", "Rock", "evaluation"))
    songs.append(("101", "101.mp3", "Singer B", "Song 1", "1.0", "1.45", "Rock", "evaluation"))
    rated: Rows = [(song[0], "5", "1", "5", "1") for song in songs]
    found = audited("emomusic", publish(tmp_path / "emo", songs, rated))
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.shared("published", "recordings")) == (2, 1)
    assert found.strict == 1
    sizes = found.sizes("published_jukemir")
    assert sizes["test"] == found.sizes("published")["test"] == 10
    assert sizes["train"] + sizes["valid"] == 40
    assert sizes["valid"] > 0
