from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.gtzan import Gtzan
from pipelines.sources.published_files import PublishedFilesSettings
from schemas.errors import DataError, UsageError
from schemas.tables.tracks import UNKNOWN_ARTIST

LISTS = {
    "train": ["blues/blues.00029.wav", "blues/blues.00030.wav", "reggae/reggae.00001.wav"],
    "valid": ["classical/classical.00000.wav"],
    "test": ["rock/rock.00010.wav", "blues/blues.00098.wav"],
}
STATS = """filename,artist,title,tempo mean,meter
blues.00029.wav,Kelly Joe Phelps,The House Carpenter,126.0,4/4
blues.00030.wav,Kelly Joe Phelps,"Hard Time, Killin' Floor",98.1,4/4
reggae.00001.wav,Bob Marley,No Woman No Cry,78.0,4/4
reggae.00002.wav,Bob Marley,Jamming,78.0,4/4
classical.00000.wav,,,,
rock.00010.wav,bob marley,No woman  no cry,78.0,4/4
blues.00098.wav,Clifton Chenier,?,101.0,4/4
"""


def publish(folder: Path, lists: dict[str, list[str]], stats: str | None = None, below: str = "") -> Path:
    (folder / below).mkdir(parents=True, exist_ok=True)
    for part, lines in lists.items():
        (folder / below / f"{part}_filtered.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    if stats is not None:
        (folder / "stats.csv").write_text(stats, "utf-8")
    return folder


def source(context: SourceContext, folder: Path) -> Gtzan:
    return Gtzan(PublishedFilesSettings(kind="gtzan", path=str(folder)), context)


@pytest.mark.parametrize("below", ["", "GTZAN_split", "split/gtzan"])
def test_the_filtered_lists(below: str, tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "lists", LISTS, STATS, below)).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert len(rows) == 6
    first = rows["blues.00029.wav"]
    assert (first["artist_name"], first["title"]) == ("Kelly Joe Phelps", "The House Carpenter")
    assert first["audio_uri"] == "blues/blues.00029.wav"
    assert rows["blues.00030.wav"]["title"] == "Hard Time, Killin' Floor"
    assert [(r["track_id"], r["raw_tag"]) for r in tables.annotations.to_pylist()][-1] == ("rock.00010.wav", "rock")
    assert tables.published is not None
    assert {r["track_id"]: r["split"] for r in tables.published.to_pylist()} == {
        line.rpartition("/")[2]: part for part, lines in LISTS.items() for line in lines
    }


def test_excerpts_of_one_recording_and_those_of_nobody(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "lists", LISTS, STATS)).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert rows["rock.00010.wav"]["recording_id"] == rows["reggae.00001.wav"]["recording_id"]
    assert rows["rock.00010.wav"]["artist_id"] == rows["reggae.00001.wav"]["artist_id"]
    assert rows["classical.00000.wav"]["artist_id"] == UNKNOWN_ARTIST
    assert rows["blues.00098.wav"]["title"] is None
    assert len({row["recording_id"] for row in rows.values()}) == 5
    assert "5 of 6 excerpts have an artist in stats.csv" in tables.notes
    assert "1 excerpts have the artist and title of another: taken as the same recording" in tables.notes
    assert "1 excerpts of stats.csv are in none of the filtered lists: they are left out" in tables.notes


def test_without_the_index_each_excerpt_has_an_artist_of_its_own(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "lists", LISTS)).read()
    artists = tables.tracks.column("artist_id").to_pylist()
    assert len(set(artists)) == 6
    assert UNKNOWN_ARTIST not in artists
    assert "artists are not known" in tables.notes[0]


def test_what_is_not_as_published_is_named(tmp_path: Path, context: SourceContext) -> None:
    for line in ("blues.00029.wav", "blues/rock.00029.wav", "../blues.00029.wav", "blues/blues.29.wav"):
        folder = publish(tmp_path / "lists", {**LISTS, "valid": [LISTS["valid"][0], line]})
        with pytest.raises(
            UsageError, match=r"valid_filtered\.txt: line 2: .* is not written genre/genre\.00000\.wav"
        ):
            source(context, folder).read()
    folder = publish(tmp_path / "lists", LISTS, "filename,tempo\nblues.00029.wav,126\n")
    with pytest.raises(
        UsageError, match=r"stats\.csv: line 1: no column 'artist', 'title' in the published header"
    ):
        source(context, folder).read()


def test_an_excerpt_of_two_splits_is_refused(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "lists", {**LISTS, "test": ["blues/blues.00029.wav"]})
    with pytest.raises(
        DataError, match=r"test_filtered\.txt: line 1: 'blues\.00029\.wav' is in test, and in train too"
    ):
        source(context, folder).read()


def test_the_recipe_builds_and_tells_of_the_leaks(tmp_path: Path, audited: Callable[..., Any]) -> None:
    genres = ("blues", "rock", "pop")
    lists: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    stats = ["filename,artist,title,tempo mean"]
    for number in range(48):
        genre = genres[number % 3]
        name = f"{genre}.{number:05d}.wav"
        lists[("train", "train", "valid", "test")[number // 3 % 4]].append(f"{genre}/{name}")
        # Two excerpts an artist, in one split: 24 artists.
        stats.append(f"{name},Artist {number % 24},Song {number},120.0")
    # The song of blues.00009, of test, once more in train.
    stats[1] = "blues.00000.wav,The Artist 9,Song 9,120.0"
    found = audited("gtzan", publish(tmp_path / "lists", lists, "\n".join(stats) + "\n"))
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.shared("published", "recordings")) == (1, 1)
    assert found.strict == 1
