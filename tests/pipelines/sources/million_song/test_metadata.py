"""Songs, their tags of Last.fm, and duplicates, read as published."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipelines.sources.base import SourceContext, SourceTables
from pipelines.sources.million_song import MillionSong
from schemas.errors import UsageError
from schemas.tables import (
    TRACKS,
)
from schemas.tables.tracks import UNKNOWN_ARTIST
from tests.pipelines.sources.million_song.files import (
    EXPECTED,
    SAID,
    Folder,
    Read,
    labelled,
    row,
    song,
    track,
)


def test_the_metadata_is_read_as_published(folder: Folder, read: Read) -> None:
    nobody = "89ad4ac3-39f7-470e-963a-56509c546377"
    folder.metadata(
        [
            row(5),
            row(2, title="", year=0, artist_mbid="", release=" "),
            row(3, artist_name="Various Artists"),
            row(1, artist_mbid=nobody, artist_name="Diverse"),
            row(4, artist_id="", artist_name="The Élan", duration=0.0),
            row(6, artist_id="", artist_name="", artist_mbid=None),
        ]
    )
    tables = read(labels=(), tracks="all")
    assert tables.tracks.schema.equals(TRACKS.schema)
    rows = {r["track_id"]: r for r in tables.tracks.to_pylist()}
    assert list(rows) == [track(n) for n in range(1, 7)]
    five = rows[track(5)]
    assert (five["title"], five["album"], five["artist_name"]) == ("Title 5", "Release 1", "Artist 2")
    assert (five["year"], five["duration_s"], five["recording_id"]) == (1995, 105.5, track(5))
    assert (five["artist_id"], five["audio_uri"]) == ("ARAA0000287B98A", None)
    two = rows[track(2)]
    assert (two["title"], two["year"], two["album"]) == (None, None, None)
    assert rows[track(4)]["duration_s"] is None
    assert [rows[track(n)]["artist_id"] for n in (1, 3, 4, 6)] == [
        UNKNOWN_ARTIST,
        UNKNOWN_ARTIST,
        "elan",
        UNKNOWN_ARTIST,
    ]
    assert tables.artist_keys is not None
    assert tables.artist_keys.to_pylist() == [
        {"artist_id": "ARAA0000287B98A", "key": row(5)["artist_mbid"]},
        {"artist_id": "elan", "key": row(4)["artist_mbid"]},
    ]
    assert tables.annotations.num_rows == 0


def test_the_order_of_rows_says_nothing(folder: Folder, read: Read, tmp_path: Path, context: SourceContext) -> None:
    rows = [row(n) for n in range(40)]
    said = {track(n): [(tag, float(n)) for tag in ("b", "a", "Ö")[: n % 4]] for n in range(40)}
    folder.metadata(rows).lastfm(said)
    first = read()
    random.Random(0).shuffle(rows)
    names = list(said)
    random.Random(1).shuffle(names)
    other = Folder(tmp_path / "other").metadata(rows).lastfm({name: said[name][::-1] for name in names})
    second = read(str(other.path))
    for one, two in ((first.tracks, second.tracks), (first.annotations, second.annotations)):
        assert one.equals(two)
    assert labelled(first) == sorted((t, "lastfm", g, s) for t, tags in said.items() for g, s in tags)


def test_last_fm_is_read_from_its_database(folder: Folder, read: Read) -> None:
    tables = read_of(folder, read)
    assert labelled(tables) == EXPECTED
    assert tables.tracks.column("track_id").to_pylist() == [track(1), track(3), track(4)]
    left = [r for r in tables.exclusions.to_pylist() if r["reason"] == "no_tags"]
    assert [r["id"] for r in left] == [track(0), track(2), track(5)]
    assert left[0]["detail"] == "no label in lastfm"
    assert tables.listened is None
    assert tables.interactions is None


def read_of(folder: Folder, read: Read, **keys: Any) -> SourceTables:
    folder.metadata(row(n) for n in range(6)).lastfm(SAID)
    return read(**keys)


@pytest.mark.parametrize("form", ["folders", "zip files"])
def test_last_fm_is_read_from_its_json_files_alike(form: str, folder: Folder, read: Read) -> None:
    folder.metadata(row(n) for n in range(6)).json({**SAID, track(2): []})
    if form == "zip files":
        folder.zipped()
    tables = read()
    assert labelled(tables) == EXPECTED
    assert tables.tracks.num_rows == 3


def test_a_change_in_a_folder_is_a_change(folder: Folder, source: Callable[..., MillionSong]) -> None:
    folder.metadata(row(n) for n in range(6)).json(SAID)
    before = source().inputs()
    assert source().inputs() == before
    path = next((folder.path / "lastfm_test").rglob("*.json"))
    path.write_text(path.read_text().replace("rock", "folk").replace("Hip-Hop", "Hop-Hip"))
    after = source().inputs()
    assert {key for key in before if before[key] != after[key]} == {"lastfm.test"}


def test_labels_of_tracks_and_rows_that_are_not_there_are_counted(folder: Folder, read: Read) -> None:
    folder.metadata(row(n) for n in range(6))
    folder.lastfm({**SAID, track(77): [("rock", 10), ("pop", 10)]}, [(99, 1, 50), (0, 1, 50), (1, 1234, 50)])
    tables = read()
    assert labelled(tables) == EXPECTED
    assert tables.notes == (
        "Last.fm: 2 rows of tid_tag point to rows of tids that are not there: left out",
        "Last.fm: 1 rows of tid_tag point to rows of tags that are not there: left out",
        "lastfm: 2 labels of 1 tracks that are not among the tracks: left out",
    )


def test_what_the_recipe_needs_not_is_not_opened(folder: Folder, read: Read) -> None:
    rubbish = b"this is none of the published files"
    folder.metadata(row(n) for n in range(6)).lastfm(SAID)
    for name in (
        "unique_tracks.txt",
        "lastfm_train.zip",
        "lastfm_test.zip",
        "train_triplets.txt",
        "taste_profile_song_to_tracks.txt",
        "sid_mismatches.txt",
        "MSD_id_to_7D_id.pkl",
        "7D_id_to_path.pkl",
    ):
        folder.write(name, rubbish)
    assert labelled(read()) == EXPECTED
    folder.write("lastfm_tags.db", rubbish)
    assert read(labels=(), tracks="all").tracks.num_rows == 6


def test_unique_tracks_stand_in_for_the_database(folder: Folder, read: Read) -> None:
    lines = [
        f"{track(2)}<SEP>{song(2)}<SEP>Karkkiautomaatti<SEP>Tanssi vaan",
        f"{track(1)}<SEP>{song(1)}<SEP>The Beatles<SEP>A<SEP>B",
        f"{track(0)}<SEP>{song(0)}<SEP>beatles<SEP>",
        f"{track(3)}<SEP>{song(3)}<SEP>Various Artists<SEP>Anything",
    ]
    folder.write("unique_tracks.txt", "\n".join(lines) + "\n")
    tables = read(labels=(), tracks="all")
    rows = [(r["artist_id"], r["title"], r["year"], r["duration_s"]) for r in tables.tracks.to_pylist()]
    assert rows == [
        ("beatles", None, None, None),
        ("beatles", "A<SEP>B", None, None),
        ("karkkiautomaatti", "Tanssi vaan", None, None),
        (UNKNOWN_ARTIST, "Anything", None, None),
    ]
    assert "artists are known by name only" in tables.notes[0]
    assert tables.artist_keys is not None
    assert tables.artist_keys.num_rows == 0
    folder.write("unique_tracks.txt", "\n".join([*lines, "TR\tSO\tx\ty"]))
    with pytest.raises(UsageError, match=r"unique_tracks\.txt: line 5: is not written track<SEP>song<SEP>artist"):
        read(labels=(), tracks="all")


def test_files_may_lie_in_another_store_or_packed(
    folder: Folder, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = read_of(folder, read)
    remote = fsspec.filesystem("memory")
    for name in ("track_metadata.db", "lastfm_tags.db"):
        content = (folder.path / name).read_bytes()
        remote.pipe_file(f"/msd/{name}", content)
        (folder.path / f"{name}.gz").write_bytes(gzip.compress(content, 1))
        (folder.path / name).unlink()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for path in ("memory://msd", str(folder.path)):
        assert read(path).annotations.equals(here.annotations)
    assert not list(tmp_path.glob("tracklore-*"))


def test_duplicates_are_one_recording(folder: Folder, read: Read) -> None:
    folder.metadata(row(n) for n in range(8))
    lines = [
        "# MILLION SONG DATASET",
        "# FILE OF DUPLICATES",
        "#",
        "%1 Faster Pussy cat - Silent Night",
        track(5),
        track(2),
        "%2 Karkkiautomaatti - Tanssi vaan",
        track(7),
        track(4),
        f"{track(999)}<SEP>gone",
        "%3 Hudson Mohawke - No One Could Ever",
        track(2),
        track(1),
    ]
    folder.write("msd_duplicates.txt", "\n".join(lines) + "\n")
    tables = read(labels=(), tracks="all")
    found = dict(zip(*(tables.tracks.column(c).to_pylist() for c in ("track_id", "recording_id")), strict=True))
    assert {t: r for t, r in found.items() if t != r} == {
        track(2): track(1),
        track(5): track(1),
        track(7): track(4),
    }
    assert tables.notes == ("5 tracks are in the 3 groups of msd_duplicates.txt: one recording a group",)
    for text, line in ((f"{track(1)}\n", 1), ("# x\n%1 a\nTRABC\n", 3)):
        folder.write("msd_duplicates.txt", text)
        with pytest.raises(UsageError, match=rf"msd_duplicates\.txt: line {line}: .* is no track of a group"):
            read(labels=(), tracks="all")
