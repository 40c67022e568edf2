from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from pipelines.sources import million_song
from pipelines.sources.base import SourceContext, SourceTables, source_class
from pipelines.sources.million_song import MillionSong, MillionSongSettings
from pipelines.sources.msd.label_source import LabelSource, LabelTables, label_source
from pipelines.sources.published_files import PublishedFile
from schemas.errors import UsageError
from schemas.manifest import SourceSection
from schemas.store import Store
from schemas.tables import (
    ANNOTATIONS,
    EXCLUSIONS,
    INTERACTIONS,
    LABELS,
    LISTENED,
    PUBLISHED,
    SPLITS,
    TAGS,
    TAXONOMY,
    TRACKS,
)
from schemas.tables.tracks import UNKNOWN_ARTIST

Command = Callable[..., Any]

# As in the published database.
SONGS = (
    "CREATE TABLE songs (track_id text PRIMARY KEY, title text, song_id text, release text, artist_id text, "
    "artist_mbid text, artist_name text, duration real, artist_familiarity real, artist_hotttnesss real, year int, "
    "track_7digitalid int, shs_perf int, shs_work int)"
)
LASTFM = (
    "CREATE TABLE tids (tid TEXT)",
    "CREATE TABLE tags (tag TEXT)",
    "CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT, FOREIGN KEY(tag) REFERENCES tags(ROWID), "
    "FOREIGN KEY(tid) REFERENCES tids(ROWID))",
    "CREATE INDEX idx_tid_tag_tid ON tid_tag ('tid')",
)


def track(number: int) -> str:
    return f"TRAA{number:05d}128F426A0"


def song(number: int) -> str:
    return f"SOAA{number:05d}12A8C1330"


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "track_id": track(number),
        "title": f"Title {number}",
        "song_id": song(number),
        "release": f"Release {number // 3}",
        "artist_id": f"ARAA{number // 2:05d}87B98A",
        "artist_mbid": f"{number // 2:08x}-5b14-4f7d-9f5d-0a0a0a0a0a0a",
        "artist_name": f"Artist {number // 2}",
        "duration": 100.5 + number,
        "artist_familiarity": 0.5,
        "artist_hotttnesss": 0.4,
        "year": 1990 + number % 10,
        "track_7digitalid": 1000 + number,
        "shs_perf": -1,
        "shs_work": 0,
        **changes,
    }


class Folder:
    """Writes the published files into one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def metadata(self, rows: Iterable[dict[str, Any]]) -> Folder:
        with sqlite3.connect(self.path / "track_metadata.db") as database:
            database.execute(SONGS)
            listed = list(rows)
            names = ", ".join(listed[0])
            marks = ", ".join("?" * len(listed[0]))
            database.executemany(
                f"INSERT INTO songs ({names}) VALUES ({marks})", [tuple(r.values()) for r in listed]
            )
        database.close()
        return self

    def lastfm(self, said: dict[str, list[tuple[str, float]]], more: Iterable[tuple[Any, Any, Any]] = ()) -> Folder:
        tags = list(dict.fromkeys(tag for tags in said.values() for tag, _ in tags))
        with sqlite3.connect(self.path / "lastfm_tags.db") as database:
            for statement in LASTFM:
                database.execute(statement)
            database.executemany("INSERT INTO tids VALUES (?)", [(t,) for t in said])
            database.executemany("INSERT INTO tags VALUES (?)", [(t,) for t in tags])
            rows: list[tuple[Any, Any, Any]] = [
                (place, tags.index(tag) + 1, float(score))
                for place, listed in enumerate(said.values(), start=1)
                for tag, score in listed
            ]
            database.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", [*rows, *more])
        database.close()
        return self

    def json(self, said: dict[str, list[tuple[str, float]]], parts: Sequence[str] = ("train", "test")) -> Folder:
        for part in parts:
            (self.path / f"lastfm_{part}").mkdir()
        for place, (name, tags) in enumerate(said.items()):
            part = parts[place % len(parts)]
            path = self.path / f"lastfm_{part}" / name[2] / name[3] / name[4] / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = {
                "artist": "An Artist",
                "timestamp": "2011-08-02 20:13:25.674526",
                "similars": [[track(7), 0.96]],
                "tags": [[tag, f"{score:g}"] for tag, score in tags],
                "track_id": name,
                "title": "A Title",
            }
            path.write_text(json.dumps(content))
        return self

    def zipped(self) -> Folder:
        for part in ("train", "test"):
            folder = self.path / f"lastfm_{part}"
            with zipfile.ZipFile(self.path / f"lastfm_{part}.zip", "w") as archive:
                for path in sorted(folder.rglob("*.json"), reverse=True):
                    archive.write(path, path.relative_to(self.path))
                    path.unlink()
                archive.writestr(f"__MACOSX/lastfm_{part}/._x.json", b"\x00")
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir()
            folder.rmdir()
        return self

    def taste(
        self,
        triplets: Iterable[tuple[str, str, int]],
        tracks: dict[str, list[str]] | None = None,
        wrong: Iterable[tuple[str, str]] = (),
    ) -> Folder:
        lines = "".join(f"{user}\t{of}\t{count}\n" for user, of, count in triplets)
        (self.path / "train_triplets.txt").write_text(lines)
        if tracks is not None:
            lines = "".join("\t".join([of, *listed]) + "\n" for of, listed in tracks.items())
            (self.path / "taste_profile_song_to_tracks.txt").write_text(lines)
        lines = "".join(
            f"ERROR: <{of} {t}> Jimmy Reed  -  The Sun  !=  Slim Harpo  -  I Got Love\n" for of, t in wrong
        )
        (self.path / "sid_mismatches.txt").write_text(lines)
        return self

    def write(self, name: str, content: str | bytes) -> Folder:
        (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def audio(self, digital: Any, paths: Any) -> Folder:
        return self.write("MSD_id_to_7D_id.pkl", digital).write("7D_id_to_path.pkl", paths)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "msd")


Read = Callable[..., SourceTables]


@pytest.fixture
def source(folder: Folder, context: SourceContext) -> Callable[..., MillionSong]:
    def make(path: str | None = None, **keys: Any) -> MillionSong:
        settings = MillionSongSettings(kind="million_song", path=path or str(folder.path), **keys)
        return MillionSong(settings, context)

    return make


@pytest.fixture
def read(source: Callable[..., MillionSong]) -> Read:
    return lambda path=None, **keys: source(path, **keys).read()


SAID: dict[str, list[tuple[str, float]]] = {
    track(4): [("rock", 100), ("seen live", 40), ("Rock", 20)],
    track(1): [("Hip-Hop", 100), ("80s", 0)],
    track(3): [("Zäune", 7), ("rock", 55.5)],
}


def labelled(tables: SourceTables) -> list[tuple[str, str, str, float | None]]:
    rows = ANNOTATIONS.conform(tables.annotations).to_pylist()
    return [(r["track_id"], r["source"], r["raw_tag"], r["score"]) for r in rows]


EXPECTED = [
    (track(1), "lastfm", "80s", 0.0),
    (track(1), "lastfm", "Hip-Hop", 100.0),
    (track(3), "lastfm", "Zäune", 7.0),
    (track(3), "lastfm", "rock", 55.5),
    (track(4), "lastfm", "Rock", 20.0),
    (track(4), "lastfm", "rock", 100.0),
    (track(4), "lastfm", "seen live", 40.0),
]


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


def break_database(name: str, *statements: str) -> Callable[[Folder], None]:
    def act(folder: Folder) -> None:
        with sqlite3.connect(folder.path / name) as database:
            for statement in statements:
                database.execute(statement)
        database.close()

    return act


def cut(name: str) -> Callable[[Folder], None]:
    def act(folder: Folder) -> None:
        content = (folder.path / name).read_bytes()
        folder.write(name, content[:512] + b"\xff" * (len(content) - 512))

    return act


WRONG: list[tuple[Callable[[Folder], Any], str]] = [
    (lambda f: f.write("track_metadata.db", "<html>404"), r"track_metadata\.db: is no SQLite file"),
    (lambda f: f.write("lastfm_tags.db", b""), r"lastfm_tags\.db: is no SQLite file"),
    (lambda f: f.write("lastfm_tags.db", b"SQLite format 3\x00"), r"lastfm_tags\.db: cannot be read as SQLite"),
    (cut("track_metadata.db"), r"track_metadata\.db: cannot be read as SQLite"),
    (cut("lastfm_tags.db"), r"lastfm_tags\.db: cannot be read as SQLite"),
    (
        break_database("track_metadata.db", "ALTER TABLE songs RENAME TO tracks"),
        r"track_metadata\.db: has no table 'songs'; is it the published file\?",
    ),
    (
        break_database("track_metadata.db", "ALTER TABLE songs RENAME COLUMN artist_mbid TO mbid"),
        r"track_metadata\.db: table 'songs' has no column 'artist_mbid' \(it has .*mbid",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET duration = 'long' WHERE rowid = 4"),
        r"table 'songs', column 'duration', row 4: 'long' is not a number",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET year = 1999.5 WHERE rowid = 2"),
        r"table 'songs', column 'year', row 2: 1999\.5 is not a whole number",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET title = x'e9' WHERE rowid = 3"),
        r"table 'songs', column 'title', row 3: '\\\\xe9' is not text",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET track_id = NULL WHERE rowid = 3"),
        r"table 'songs', column 'track_id', row 3: is empty",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET song_id = '' WHERE rowid = 5"),
        r"table 'songs', column 'song_id', row 5: is empty",
    ),
    (
        break_database(
            "track_metadata.db",
            "CREATE TABLE copy AS SELECT * FROM songs",
            "DROP TABLE songs",
            "ALTER TABLE copy RENAME TO songs",
            "INSERT INTO songs SELECT * FROM songs WHERE rowid = 2",
        ),
        rf"track_metadata\.db: has the track '{track(1)}' twice",
    ),
    (break_database("lastfm_tags.db", "DROP TABLE tids"), r"lastfm_tags\.db: has no table 'tids'"),
    (
        break_database("lastfm_tags.db", "ALTER TABLE tid_tag RENAME COLUMN val TO score"),
        r"lastfm_tags\.db: table 'tid_tag' has no column 'val'",
    ),
    (
        break_database("lastfm_tags.db", "UPDATE tid_tag SET val = 'much' WHERE rowid = 2"),
        r"lastfm_tags\.db: table 'tid_tag', column 'val', row 2: is no number",
    ),
    (
        break_database("lastfm_tags.db", "UPDATE tid_tag SET tid = NULL WHERE rowid = 6"),
        r"lastfm_tags\.db: table 'tid_tag', column 'tid', row 6: is no number",
    ),
    (
        break_database("lastfm_tags.db", "UPDATE tags SET tag = NULL WHERE rowid = 1"),
        r"lastfm_tags\.db: table 'tags', column 'tag', row 1: is empty",
    ),
]


@pytest.mark.parametrize(("harm", "message"), WRONG)
def test_a_database_that_is_not_as_published_is_named(
    harm: Callable[[Folder], Any], message: str, folder: Folder, read: Read
) -> None:
    folder.metadata(row(n) for n in range(6)).lastfm(SAID)
    harm(folder)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(UsageError, match=message) as caught:
        read()
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "has no track_id and tags"),
        ('{"track_id": "TR", "tags": {}}', "has no track_id and tags"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"track_id": "TR", "tags": [["rock"]]}', r"tags: \['rock'\] is not written \[tag, score\]"),
        ('{"track_id": "TR", "tags": [["rock", "nan"]]}', "is not written"),
        ('{"track_id": "TR", "tags": [["rock", true]]}', "is not written"),
        (f'{{"track_id": "{track(1)}", "tags": []}}', "has a file before this one"),
    ],
)
def test_a_json_file_that_is_not_as_published_is_named(
    content: str, message: str, folder: Folder, read: Read
) -> None:
    folder.metadata(row(n) for n in range(6)).json(SAID)
    (folder.path / "lastfm_test" / "Z.json").write_text(content)
    with pytest.raises(UsageError, match=rf"lastfm_test/Z\.json: .*{message}"):
        read()
    folder.zipped()
    with pytest.raises(UsageError, match=rf"lastfm_test\.zip: lastfm_test/Z\.json: .*{message}"):
        read()


def test_a_zip_file_that_is_none_is_named(folder: Folder, read: Read) -> None:
    folder.metadata(row(n) for n in range(6)).json(SAID).zipped()
    folder.write("lastfm_train.zip", (folder.path / "lastfm_train.zip").read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"lastfm_train\.zip: is no zip file that can be read"):
        read()


def test_a_missing_file_is_named_with_where_it_is_from(folder: Folder, read: Read) -> None:
    with pytest.raises(
        UsageError, match=r"has no track_metadata\.db \(nor .*unique_tracks\.txt.*\); the Million Song"
    ):
        read()
    folder.metadata([row(0)])
    with pytest.raises(UsageError, match=r"has no lastfm_tags\.db \(nor lastfm_train.*\); the Last\.fm dataset of"):
        read()
    folder.lastfm({track(0): [("rock", 1)]})
    with pytest.raises(UsageError, match=r"has no train_triplets\.txt; the Echo Nest Taste Profile .*about 3 GB"):
        read(listening=True)
    folder.write("train_triplets.txt", "")
    with pytest.raises(UsageError, match=r"has no sid_mismatches\.txt .*songs matched to wrong tracks"):
        read(listening=True)
    with pytest.raises(UsageError, match=r"has no MSD_id_to_7D_id\.pkl .*music_dataset_split"):
        read(tracks="with_audio")
    with pytest.raises(UsageError, match=r"source\.path: is required; .*lastfm_train"):
        MillionSong(MillionSongSettings(kind="million_song"), SourceContext(*[None] * 4))  # type: ignore[arg-type]


def test_settings_that_cannot_be_are_named_by_their_key(folder: Folder, read: Read) -> None:
    folder.metadata([row(0)])
    with pytest.raises(UsageError, match=r"source\.labels: no labels 'lastfn'; did you mean 'lastfm'\?"):
        read(labels=("lastfn",))
    with pytest.raises(UsageError, match=r"source\.split: no labels 'calls'"):
        read(split="calls")
    with pytest.raises(UsageError, match=r"source\.labels: 'lastfm' stands twice"):
        read(labels=("lastfm", "lastfm"))
    with pytest.raises(UsageError, match=r"source\.labels: names none"):
        read(labels=())
    with pytest.raises(
        UsageError, match=r"m\.yaml: source\.tracks: Input should be 'all', 'annotated' or 'with_aud"
    ):
        source_class(SourceSection.model_validate({"kind": "million_song", "tracks": "some"}), "m.yaml")
    cls, settings = source_class(
        SourceSection.model_validate({"kind": "million_song", "labels": ["lastfm"], "split": None}), "m.yaml"
    )
    assert cls is MillionSong
    assert isinstance(settings, MillionSongSettings)


USERS = [f"{n:040x}" for n in range(5)]
TRIPLETS = [
    (USERS[0], song(0), 1),
    (USERS[0], song(1), 5),
    (USERS[1], song(1), 2),
    (USERS[1], song(3), 1),
    (USERS[2], song(4), 9),
    (USERS[3], song(5), 1),
    (USERS[4], song(90), 3),
]
TRACKS_OF = {
    song(0): [track(0)],
    song(1): [track(1), track(2)],
    song(3): [track(3)],
    song(4): [],
    song(5): [track(5), track(88)],
}


@pytest.fixture
def listeners(folder: Folder) -> Folder:
    folder.metadata(row(n) for n in range(6))
    return folder.taste(TRIPLETS, TRACKS_OF, [(song(3), track(3)), (song(1), track(2)), (song(77), track(77))])


def test_tracks_that_somebody_listened_to(listeners: Folder, read: Read) -> None:
    tables = read(labels=(), tracks="all", listening=True)
    assert tables.listened is not None
    assert tables.listened.schema.equals(LISTENED.schema)
    assert tables.listened.column("track_id").to_pylist() == [track(0), track(1), track(5)]
    assert tables.tracks.num_rows == 6
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [
        (track(2), "mismatched"),
        (track(3), "mismatched"),
    ]
    assert tables.exclusions.to_pylist()[1]["detail"].startswith(f"{song(3)} is another recording (sid_mismatches.")
    assert tables.notes == (
        "Taste Profile: 1 songs have no track in taste_profile_song_to_tracks.txt",
        "Taste Profile: 1 song-track pairs name tracks that the metadata has not: left out",
        "Taste Profile: 2 of 7 triplets are of songs that have no track: left out",
        "Taste Profile: 2 song-track pairs that were listened to are in sid_mismatches.txt: they do not count "
        "(2 tracks have no other listeners)",
    )


def test_the_metadata_says_which_tracks_songs_are_where_no_list_does(listeners: Folder, read: Read) -> None:
    (listeners.path / "taste_profile_song_to_tracks.txt").unlink()
    tables = read(labels=(), tracks="all", listening=True)
    assert tables.listened is not None
    assert tables.listened.column("track_id").to_pylist() == [track(n) for n in (0, 1, 4, 5)]
    assert "is not there: the metadata's song ids say" in tables.notes[0]


def test_interactions_are_those_of_a_plain_count(folder: Folder, read: Read) -> None:
    random.seed(3)
    folder.metadata(row(n) for n in range(30))
    tracks_of = {
        song(n): [track(t) for t in random.sample(range(33), random.choice([0, 1, 1, 2, 3]))] for n in range(40)
    }
    wrong = {(s, t) for s, listed in tracks_of.items() for t in listed if random.random() < 0.1}
    pairs = [(user, song(n)) for user in USERS for n in random.sample(range(45), 20)]
    triplets = [(user, of, random.randint(1, 9)) for user, of in pairs]
    folder.taste(triplets, tracks_of, wrong)
    plays: Counter[tuple[str, str]] = Counter()
    for user, of, count in triplets:
        for t in tracks_of.get(of, []):
            if (of, t) not in wrong and t < track(30):
                plays[user, t] += count
    tables = read(labels=(), tracks="all", interactions=True)
    assert tables.interactions is not None
    rows = INTERACTIONS.conform(tables.interactions).to_pylist()
    assert rows == [
        {"group_id": user, "kind": "listener", "track_id": t, "count": count}
        for (user, t), count in sorted(plays.items())
    ]
    assert tables.listened is None
    listened = read(labels=(), tracks="all", listening=True).listened
    assert listened is not None
    assert listened.column("track_id").to_pylist() == sorted({t for _, t in plays})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_triplets.txt", f"{USERS[0]}\t{song(0)}\n", r"is not written user, song, count.*got 2"),
        ("train_triplets.txt", f"{USERS[0]},{song(0)},1\n", r"is not written user, song, count"),
        ("train_triplets.txt", f"{USERS[0]}\t{song(0)}\tmany\n", r"is not written .*many"),
        ("train_triplets.txt", f"{USERS[0]}\t{song(0)}\t0\n", rf"a count of 0 \(of song '{song(0)}'\)"),
        ("train_triplets.txt", "a\tb\t1\nc\td\t2\n", r"none of its 2 songs is known"),
        ("train_triplets.txt", "", r"train_triplets\.txt: "),
        ("train_triplets.txt", b"\xff\xfe\t\xff\t1\n", r"train_triplets\.txt: "),
        ("sid_mismatches.txt", f"{song(1)}\t{track(1)}\n", r"line 1: .* is not written ERROR: <SO… TR…>"),
        ("taste_profile_song_to_tracks.txt", f"{song(0)} {track(0)}\n", r"line 1: is not written song, track"),
        ("taste_profile_song_to_tracks.txt", f"{track(0)}\t{song(0)}\n", r"line 1: is not written song, track"),
    ],
)
def test_listening_data_that_is_not_as_published_is_named(
    name: str, content: str | bytes, message: str, listeners: Folder, read: Read
) -> None:
    listeners.write(name, content)
    with pytest.raises(UsageError, match=rf"{name}: {message}|{message}") as caught:
        read(labels=(), tracks="all", interactions=True)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


DIGITAL = {track(n): str(5000 + n) for n in range(5)}
PATHS = {str(5000 + n): f"{n}/{n}/{5000 + n}.clip.mp3" for n in (0, 1, 3, 4, 9)}


def python_2(content: dict[str, str]) -> bytes:
    """As cPickle of Python 2 writes a dict of text by default: protocol 0."""
    return b"(dp1\n" + b"".join(f"S'{k}'\nS'{v}'\ns".encode() for k, v in content.items()) + b"."


def test_tracks_with_previews(folder: Folder, read: Read, tmp_path: Path) -> None:
    folder.metadata(row(n) for n in range(6)).lastfm(SAID).audio(python_2(DIGITAL), pickle.dumps(PATHS, 2))
    tables = read(tracks="with_audio")
    paths = dict(zip(*(tables.tracks.column(c).to_pylist() for c in ("track_id", "audio_uri")), strict=True))
    assert paths == {track(n): PATHS[str(5000 + n)] for n in (0, 1, 3, 4)}
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [
        (track(2), "no_audio"),
        (track(5), "no_audio"),
    ]
    assert labelled(tables) == EXPECTED
    (tmp_path / "mp3").mkdir()
    beside = read(tracks="all", audio=str(tmp_path / "mp3"))
    assert beside.tracks.num_rows == 6
    assert beside.tracks.column("audio_uri").null_count == 2
    whole = {track(n): 5000 + n for n in range(5)}  # ids may be numbers
    folder.audio(pickle.dumps(whole, 2), pickle.dumps({int(k): v for k, v in PATHS.items()}, 0))
    assert read(tracks="with_audio").tracks.equals(tables.tracks)


class Harm:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("digital", "paths", "message"),
    [
        (pickle.dumps({track(0): Harm()}), b"", r"MSD_id_to_7D_id\.pkl: the pickle asks for posix\.system"),
        (pickle.dumps([1]), pickle.dumps({}), r"MSD_id_to_7D_id\.pkl: holds list, and a dict is published"),
        (pickle.dumps(DIGITAL), pickle.dumps({"5000": "../x.mp3"}), r"7D_id_to_path\.pkl: the path of .*'\.\./x"),
        (pickle.dumps(DIGITAL), pickle.dumps({"5000": "/x.mp3"}), r"7D_id_to_path\.pkl: the path of "),
        (pickle.dumps(DIGITAL), pickle.dumps({"5000": 7}), r"7D_id_to_path\.pkl: the path of .*7 is no path"),
        (pickle.dumps(DIGITAL)[:-9], pickle.dumps({}), r"MSD_id_to_7D_id\.pkl: no pickle"),
    ],
)
def test_pickles_that_are_not_as_published_are_named(
    digital: bytes,
    paths: bytes,
    message: str,
    folder: Folder,
    read: Read,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.metadata([row(0)]).audio(digital, paths)
    with pytest.raises(UsageError, match=message):
        read(labels=(), tracks="with_audio")
    assert not (tmp_path / "harmed").exists()


class Released(LabelSource):
    """A release with strings in place of dictionaries, a taxonomy and a split."""

    files = {"released.list": PublishedFile(("released.txt",), about="the list of the test")}  # noqa: RUF012

    def read(self, files: Any, tracks: pa.Array | None) -> LabelTables:
        rows = [(track(n), tag) for n, tag in ((5, "folk"), (0, "rock"), (0, "blues"), (60, "rock"))]
        split = [(0, "student"), (1, "student"), (2, "test"), (3, "none"), (70, "train")]
        return LabelTables(
            pa.table(
                {
                    "track_id": [t for t, _ in rows],
                    "source": ["released"] * len(rows),
                    "raw_tag": [tag for _, tag in rows],
                    "score": pa.nulls(len(rows), pa.float64()),
                }
            ),
            TAXONOMY.from_rows(
                [{"raw_tag": "rock", "category": "genre"}, {"raw_tag": "folk", "category": "style"}]
            ),
            PUBLISHED.from_rows({"scheme": "published", "track_id": track(n), "split": s} for n, s in split),
            EXCLUSIONS.from_rows([{"id": "x", "stage": "source", "reason": "invalid_row"}]),
            ("released: read",),
        )


def test_releases_are_joined_and_one_of_them_is_the_split(
    folder: Folder, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Released()
    found = {"released": released, "again": released}
    monkeypatch.setattr(million_song, "label_source", lambda n, key: found.get(n) or label_source(n, key))
    folder.metadata(row(n) for n in range(6)).lastfm(SAID)
    with pytest.raises(UsageError, match=r"has no released\.txt; the list of the test"):
        read(labels=("released",))
    folder.write("released.txt", "x")
    tables = read(labels=("lastfm", "released"), split="released", tracks="all")
    assert labelled(tables) == sorted(
        [*EXPECTED, *((track(n), "released", tag, None) for n, tag in ((5, "folk"), (0, "rock"), (0, "blues")))]
    )
    assert tables.taxonomy is not None
    assert tables.taxonomy.num_rows == 2
    assert tables.published is not None
    splits = {r["track_id"]: r["split"] for r in tables.published.to_pylist()}
    assert splits == {track(0): "student", track(1): "student", track(2): "test", track(3): "none"}
    assert tables.notes == (
        "released: read",
        "released: 1 labels of 1 tracks that are not among the tracks: left out",
        "published split: 1 of its 5 tracks are not among the tracks",
    )
    assert tables.exclusions.column("id").to_pylist() == ["x"]

    extra = read(labels=("released",), split="released", tracks="all", labelled_students="extra").published
    assert extra is not None
    assert [r["split"] for r in extra.to_pylist()] == ["extra", "student", "test", "none"]
    # A release may be the split without being among the labels; labels are then not its.
    alone = read(labels=("lastfm",), split="released")
    assert {t for t, *_ in labelled(alone)} == {track(1), track(3), track(4)}
    assert alone.published is not None
    assert alone.published.column("track_id").to_pylist() == [track(1), track(3)]
    both = read(labels=("again", "released"), tracks="all")
    assert both.taxonomy is not None
    assert both.taxonomy.num_rows == 2
    assert "taxonomy: 2 tags are in several releases: the first in source.labels counts" in both.notes


def test_many_rows_are_held_as_numbers(folder: Folder, read: Read) -> None:
    count = 2_000
    rng = random.Random(5)
    tags = [f"a rather long tag as people type them, number {n}" for n in range(3_000)]
    said = {track(n): [(tag, 50.0) for tag in rng.sample(tags, 75)] for n in range(count)}
    folder.metadata(row(n) for n in range(count))
    with sqlite3.connect(folder.path / "lastfm_tags.db") as database:
        for statement in LASTFM:
            database.execute(statement)
        database.executemany("INSERT INTO tids VALUES (?)", [(t,) for t in said])
        database.executemany("INSERT INTO tags VALUES (?)", [(t,) for t in tags])
        place = {tag: n for n, tag in enumerate(tags, start=1)}
        rows = ((n, place[tag], 50.0) for n, of in enumerate(said.values(), start=1) for tag, _ in of)
        database.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", rows)
    database.close()
    table = read().annotations
    assert table.num_rows == count * 75
    names = sum(len(tag) + 4 for tag in tags) + 22 * count + 100
    # Three codes of 4 bytes and a score of 8 a row (as strings, more than 100); each text once.
    assert table.nbytes <= 21 * table.num_rows + names
    assert Counter(table.column("raw_tag").to_pylist()) == Counter(tag for of in said.values() for tag, _ in of)


LISTENED_TRACKS = range(24)


@pytest.fixture
def corpus(folder: Folder) -> Folder:
    """30 tracks by 15 artists: 24 listened to, one of these under a wrong song."""
    folder.metadata(row(n) for n in range(30))
    genres = [["Rock", "rock music"], ["Hip-Hop", "hiphop"], ["jazz", "Jazz"]]
    said: dict[str, list[tuple[str, float]]] = {}
    for n in range(30):
        said[track(n)] = [(genres[n % 3][n // 3 % 2], 100.0), ("seen live", 60.0), ("piano", 10.0), ("sad", 0.0)]
    said[track(7)] += [(f"tag {n}", 100.0) for n in range(20)]
    folder.lastfm(said)
    listens = [(USERS[n % 5], song(n), 1 + n) for n in LISTENED_TRACKS]
    return folder.taste(listens, {song(n): [track(n)] for n in range(30)}, [(song(3), track(3))])


ONLY = ("--only", "tags,splits", "--set", "tags.min_tracks=1")


def labels(out: Path) -> dict[str, list[str]]:
    return {r["track_id"]: r["tags"] for r in LABELS.read(Store(str(out))).to_pylist() if r["tags"]}


def test_msd500_from_the_published_files_to_its_splits(corpus: Folder, tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    ran = command("build", "msd500", "--set", f"source.path={corpus.path}", "--out", out, *ONLY)
    assert ran.code == 0, ran.err
    # 1: not listened to (24 to 29), or under a wrong song (3); 3: more than 20 tags (7).
    kept = [n for n in LISTENED_TRACKS if n not in (3, 7)]
    found = labels(out)
    assert sorted(found) == [track(n) for n in kept]
    names = {tag for tags in found.values() for tag in tags}
    assert len(names) == 4
    assert "piano" in names
    assert all(len(tags) == 2 for tags in found.values())  # 2 and 5: no score of 0; `seen live` is not about music
    members = {r["tag"]: set(r["members"]) for r in TAGS.read(Store(str(out))).to_pylist()}
    assert {"Rock", "rock music"} in members.values()
    assert {"Hip-Hop", "hiphop"} in members.values()
    gone = {(r["id"], r["reason"]) for r in EXCLUSIONS.read(Store(str(out))).to_pylist()}
    assert {(track(3), "mismatched"), (track(7), "tag_count_over_limit")} <= gone
    artists = {r["track_id"]: r["artist_id"] for r in TRACKS.read(Store(str(out))).to_pylist()}
    splits: dict[str, set[str]] = {}
    for r in SPLITS.read(Store(str(out))).to_pylist():
        splits.setdefault(artists[r["track_id"]], set()).add(r["split"])
    assert all(len(of - {"none", "student"}) <= 1 for of in splits.values())
    assert "30" in next(line for line in ran.out.splitlines() if "source: in the source" in line)
    assert "sid_mismatches.txt: they do not count" in ran.out + ran.err + (out / "report.html").read_text()
    assert command("verify", out).code == 0
    assert command("audit", out).code == 0


def test_what_is_remembered_of_the_files_changes_nothing(
    corpus: Folder, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("TRACKLORE_CACHE", str(cache))
    (tmp_path / "no folder").write_text("")

    def receipt(name: str, *words: str) -> bytes:
        path = ("--set", f"source.path={corpus.path}")
        ran = command("build", "msd500", *path, "--out", tmp_path / name, *ONLY, *words)
        assert ran.code == 0, ran.err
        return (tmp_path / name / "receipt.json").read_bytes()

    cold = receipt("cold")
    kept = sorted((cache / "tables").iterdir())
    assert [path.name.partition("-")[0] for path in kept] == ["groups", "lastfm", "million", "taste"]
    assert receipt("warm") == cold
    for path in kept:
        path.write_bytes(path.read_bytes()[:-3])
    assert receipt("damaged") == cold
    # Another recipe finds what the first has left.
    warm = receipt("other warm", "--set", "tags.top=2", "--set", "source.tracks=all")
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / "no folder"))
    assert receipt("none") == cold
    assert receipt("other", "--set", "tags.top=2", "--set", "source.tracks=all") == warm != cold
    # A file that changes is read again.
    monkeypatch.setenv("TRACKLORE_CACHE", str(cache))
    with closing(sqlite3.connect(corpus.path / "lastfm_tags.db")) as database:
        database.execute("UPDATE tags SET tag = 'violin' WHERE tag = 'piano'")
        database.commit()
    assert receipt("changed") != cold
    assert {tag for tags in labels(tmp_path / "changed").values() for tag in tags} >= {"violin"}


def test_scores_below_50_are_dropped_when_the_released_code_is_followed(
    corpus: Folder, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "out"
    words = ("--set", f"source.path={corpus.path}", "--set", "tags.min_score=50", "--out", out, *ONLY)
    assert command("build", "msd500", *words).code == 0
    assert all(len(tags) == 1 and tags != ["piano"] for tags in labels(out).values())


@pytest.mark.parametrize(("name", "top"), [("msd100", 100), ("msd50", 50)])
def test_the_smaller_sets_keep_the_most_frequent_tags(
    name: str, top: int, folder: Folder, tmp_path: Path, command: Command
) -> None:
    words = ["rock", "jazz", "piano", "sad", "happy", "dance"]
    said = {
        track(n): [(f"{words[n % 6]} {chr(97 + k % 26)}{chr(97 + k // 26)}x", 90.0) for k in range(n % 130, 130, 7)]
        for n in range(130)
    }
    folder.metadata(row(n) for n in range(130)).lastfm(said)
    folder.taste([(USERS[0], song(n), 1) for n in range(130)])
    out = tmp_path / "out"
    source = ("--set", f"source.path={folder.path}", "--set", "tags.max_tags_per_track=null")
    ran = command("build", name, *source, "--out", out, *ONLY)
    assert ran.code == 0, ran.err
    assert TAGS.read(Store(str(out))).num_rows == top


def test_an_error_reaches_the_user_as_one_line(corpus: Folder, tmp_path: Path, command: Command) -> None:
    corpus.write("lastfm_tags.db", io.BytesIO(b"SQLite format 3\x00" + bytes(4000)).getvalue())
    ran = command("build", "msd500", "--set", f"source.path={corpus.path}", "--out", tmp_path / "out", *ONLY)
    assert ran.code == 2
    assert "lastfm_tags.db" in ran.err
    assert "Traceback" not in ran.err
