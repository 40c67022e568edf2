from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.audit import audit, audit_scheme, leaks
from pipelines.splits.measures import label_counts, label_distance
from pipelines.stage import written
from schemas.digests import digest_of
from schemas.errors import DataError, UsageError
from schemas.receipt import Receipt, StageEntry
from schemas.store import Store
from schemas.tables import LABELS, SPLITS, TAGS, TRACKS

Command = Callable[..., Any]
RATIOS = {"train": 0.5, "test": 0.5}


def tables(*rows: tuple[str, str, str, list[str], str]) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """(track, artist, recording, tags, split) rows as splits, tracks and labels."""
    splits = {track: split for track, _, _, _, split in rows}
    tracks = {track: {"artist_id": artist, "recording_id": sound} for track, artist, sound, _, _ in rows}
    labels = {track: {"tags": tags, "caption": " ".join(tags) if tags else None} for track, _, _, tags, _ in rows}
    return splits, tracks, labels


def shared(*rows: tuple[str, str, str, list[str], str]) -> dict[str, Any]:
    found: dict[str, Any] = audit_scheme(*tables(*rows), ["x"], None)["shared"]
    return found


def test_what_two_splits_share_is_named_with_where_it_lies() -> None:
    found = shared(
        ("1", "a", "r1", ["x"], "train"),
        ("2", "a", "r2", ["x"], "test"),
        ("3", "b", "r2", ["x"], "valid"),
        ("4", "c", "r4", ["x"], "train"),
        ("5", "c", "r4", ["x"], "train"),
    )
    assert found["artists"] == {"count": 1, "first": {"a": ["test", "train"]}}
    assert found["recordings"] == {"count": 1, "first": {"r2": ["test", "valid"]}}
    assert found["captions"] == 1


@pytest.mark.parametrize(
    ("here", "there", "count"),
    [
        ("train", "test", 1),
        ("valid", "test", 1),
        ("student", "valid", 1),
        ("extra", "test", 1),
        ("train", "student", 0),
        ("train", "extra", 0),
        ("test", "none", 0),
        ("test", "test", 0),
    ],
)
def test_a_leak_needs_a_split_that_is_measured(here: str, there: str, count: int) -> None:
    found = shared(("1", "a", "r1", ["x"], here), ("2", "a", "r1", ["x"], there))
    assert found["artists"]["count"] == found["recordings"]["count"] == count


def test_of_many_leaks_the_first_are_listed_and_all_are_counted() -> None:
    rows = [(f"{n}{s}", f"a{n:02d}", f"{n}{s}", ["x"], s) for n in range(30) for s in ("train", "test")]
    found = shared(*rows)
    assert found["artists"]["count"] == 30
    assert list(found["artists"]["first"]) == [f"a{n:02d}" for n in range(20)]
    assert found["recordings"]["count"] == 0


def test_counts_shares_and_distance_are_those_of_the_labelled() -> None:
    rows = [
        ("1", "a", "r1", ["x", "y"], "train"),
        ("2", "a", "r2", ["x"], "train"),
        ("3", "b", "r3", [], "train"),
        ("4", "c", "r4", ["x"], "test"),
        ("5", "d", "r5", ["y"], "test"),
        ("6", "e", "r6", [], "student"),
        ("7", "f", "r7", [], "none"),
    ]
    found = audit_scheme(*tables(*rows), ["x", "y"], RATIOS)
    assert found["splits"] == {
        "train": {"tracks": 3, "labelled": 2, "artists": 2, "share": 0.5, "tags": 2},
        "test": {"tracks": 2, "labelled": 2, "artists": 2, "share": 0.5, "tags": 2},
        "student": {"tracks": 1, "labelled": 0, "artists": 1, "share": 0.0, "tags": 0},
    }
    counts, sizes = label_counts(
        [["x", "y"], ["x"], ["x"], ["y"]], [*["train"] * 2, *["test"] * 2], list(RATIOS), "xy"
    )
    assert found["label_distance"] == pytest.approx(label_distance(counts, sizes))
    assert found["shares_by_tag"] == {"x": {"train": 2, "test": 1}, "y": {"train": 1, "test": 1}}
    assert found["share_deviation"] == pytest.approx({"mean": (1 / 6 + 1 / 6 + 0 + 0) / 4, "largest": 1 / 6})


def test_tags_that_rest_on_few_artists_are_named_where_they_are_measured() -> None:
    many = [(f"m{n}", f"a{n}", f"m{n}", ["common"], "test") for n in range(6)]
    one = [(f"o{n}", "b", f"o{n}", ["mine"], "test") for n in range(4)]
    half = [(f"h{n}", "c" if n < 5 else f"d{n}", f"h{n}", ["half"], "test") for n in range(10)]
    train = [("t", "e", "t", ["trained"], "train")]
    found = audit_scheme(*tables(*many, *one, *half, *train), ["common", "mine", "half", "trained"], None)
    assert found["few_artists"] == [
        {"tag": "half", "split": "test", "artists": 6, "largest_share": 0.5},
        {"tag": "mine", "split": "test", "artists": 1, "largest_share": 1.0},
    ]


def dataset(folder: Path, rows: list[tuple[str, str, str, list[str], str]], scheme: str = "default") -> Store:
    store = Store(str(folder))
    splits, tracks, labels = tables(*rows)
    made = {
        TRACKS.filename: TRACKS.write(store, TRACKS.from_rows({"track_id": t, **row} for t, row in tracks.items())),
        LABELS.filename: LABELS.write(store, LABELS.from_rows({"track_id": t, **row} for t, row in labels.items())),
        TAGS.filename: TAGS.write(store, TAGS.empty()),
        SPLITS.filename: SPLITS.write(
            store,
            SPLITS.from_rows({"scheme": scheme, "fold": 0, "track_id": t, "split": s} for t, s in splits.items()),
        ),
    }
    entry = StageEntry(version=1, digest=digest_of(1), files=written(store, made))
    recipe = {"splits": {"ratios": RATIOS}}
    Receipt(name="x", manifest=digest_of(recipe), recipe=recipe, stages={"splits": entry}).write(store)
    return store


LEAK = [("1", "a[/b]", "r1", ["x"], "train"), ("2", "a[/b]", "r2", ["x"], "test"), ("3", "b", "r2", ["x"], "train")]
CLEAN = [("1", "a", "r1", ["x"], "train"), ("2", "b", "r2", ["x"], "test")]


def test_a_leak_is_exit_1_and_names_what_is_shared(tmp_path: Path, command: Command) -> None:
    store = dataset(tmp_path, LEAK)
    ran = command("audit", tmp_path)
    assert ran.code == 1
    assert ran.err.startswith("tracklore: ")
    assert "shares 2 artists or recordings; see audit.json" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert "artist 'a[/b]' is in test, train" in ran.out
    assert "recording 'r2' is in test, train" in ran.out
    content = json.loads(store.read_text("audit.json"))
    assert leaks(content) == 2
    assert content["schemes"][0]["shared"]["artists"]["first"] == {"a[/b]": ["test", "train"]}


def test_no_leak_is_exit_0_and_the_same_bytes_each_time(tmp_path: Path, command: Command) -> None:
    store = dataset(tmp_path, CLEAN)
    assert command("audit", tmp_path).code == 0
    before = store.read_bytes("audit.json")
    ran = command("audit", tmp_path, "--strict")
    assert (ran.code, ran.err) == (0, "")
    assert "0 artists, 0 recordings" in ran.out
    assert store.read_bytes("audit.json") == before
    assert audit(store) == json.loads(before)


def test_a_published_split_may_leak_unless_that_is_refused(tmp_path: Path, command: Command) -> None:
    dataset(tmp_path, LEAK, "published")
    assert command("audit", tmp_path).code == 0
    ran = command("audit", tmp_path, "--strict")
    assert ran.code == 1
    assert "the split 'published' shares 2" in ran.err


def test_what_is_no_dataset_is_told(tmp_path: Path, command: Command) -> None:
    ran = command("audit", tmp_path)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "no receipt.json here" in ran.err
    Receipt(name="x", manifest=digest_of(1)).write(Store(str(tmp_path)))
    ran = command("audit", tmp_path)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "has no splits; make them with tracklore build" in ran.err
    with pytest.raises(UsageError):
        audit(Store(str(tmp_path)))
    store = dataset(tmp_path, CLEAN)
    store.write_bytes(SPLITS.filename, b"PAR1 damaged")
    with pytest.raises(DataError, match=r"splits\.parquet"):
        audit(store)
    assert command("audit", tmp_path).code == 1


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A release in MTG-Jamendo's format whose own split tears artists apart."""
    draw = random.Random(2)
    words = ["genre---rock", "genre---pop", "genre---jazz", "instrument---piano", "mood/theme---happy"]
    lines: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for number in range(400):
        artist = draw.randrange(60)
        taste = random.Random(artist).sample(words, 3)
        tags = draw.sample(taste, draw.randint(1, 3))
        part = draw.choices(list(lines), [6, 2, 2])[0]
        cells = [f"track_{number:07d}", f"artist_{artist:06d}", "album_000001", f"00/{number}.mp3", "30.0", *tags]
        lines[part].append("\t".join(cells))
    folder = tmp_path / "tsv"
    folder.mkdir()
    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
    for part, rows in lines.items():
        (folder / f"autotagging_top50tags-{part}.tsv").write_text("\r\n".join([header, *rows]) + "\r\n")
    return folder


def test_from_published_files_to_a_split_that_shares_nothing(
    published: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "out"
    words = ("mtg_jamendo", "--set", f"source.path={published}", "--out", out, "--only", "tags,splits")
    ran = command("build", *words)
    assert ran.code == 0, ran.err
    audited = {entry["scheme"]: entry for entry in json.loads((out / "audit.json").read_text())["schemes"]}
    ours, theirs = audited["default"], audited["published"]
    assert ours["shared"]["artists"]["count"] == ours["shared"]["recordings"]["count"] == 0
    assert theirs["shared"]["artists"]["count"] > 20
    assert ours["label_distance"] < theirs["label_distance"] / 3
    assert ours["splits"]["train"]["share"] == pytest.approx(0.591, abs=0.005)
    assert ours["splits"]["valid"]["share"] == pytest.approx(0.2, abs=0.005)
    assert sum(row["tracks"] for row in ours["splits"].values()) == 400
    assert command("audit", out).code == 0
    assert command("audit", out, "--strict").code == 1
    assert command("verify", out).code == 0
    store = Store(str(out))
    categories = {row["tag"]: row["category"] for row in TAGS.read(store).to_pylist()}
    assert categories == {"rock": "genre", "pop": "genre", "jazz": "genre", "piano": "instrument", "happy": "mood"}
