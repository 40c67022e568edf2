"""From the files to a dataset: releases joined, recipes through the command line."""

from __future__ import annotations

import io
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.sources import million_song
from pipelines.sources.msd.label_source import LabelSource, LabelTables, label_source
from pipelines.sources.published_files import PublishedFile
from schemas.errors import UsageError
from schemas.store import Store
from schemas.tables import (
    EXCLUSIONS,
    LABELS,
    PUBLISHED,
    SPLITS,
    TAGS,
    TAXONOMY,
    TRACKS,
)
from tests.pipelines.sources.million_song.files import (
    EXPECTED,
    LASTFM,
    SAID,
    USERS,
    Folder,
    Read,
    labelled,
    row,
    song,
    track,
)

Command = Callable[..., Any]


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
