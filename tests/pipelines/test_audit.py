from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.audit import audit, leaks
from pipelines.stage import written
from schemas.digests import digest_of
from schemas.errors import DataError, UsageError
from schemas.receipt import Receipt, StageEntry
from schemas.store import Store
from schemas.tables import LABELS, LEAKS, SPLITS, TAGS, TRACKS

Command = Callable[..., Any]
RATIOS = {"train": 0.5, "test": 0.5}


# Track, artist, recording, tags, split; and who else is credited.
Row = tuple[str, str, str, list[str], str] | tuple[str, str, str, list[str], str, list[str] | None]


def dataset(folder: Path, rows: Sequence[Row], scheme: str = "default", ratios: dict[str, float] = RATIOS) -> Store:
    """A dataset directory of these rows, as a build leaves it."""
    store = Store(str(folder))
    tracks = [
        {
            "track_id": row[0],
            "artist_id": row[1],
            "recording_id": row[2],
            "collaborators": row[5] if len(row) == 6 else None,
        }
        for row in rows
    ]
    labels = [{"track_id": row[0], "tags": row[3], "caption": " ".join(row[3]) if row[3] else None} for row in rows]
    words = sorted({tag for row in rows for tag in row[3]})
    tag = {"category": "genre", "members": [], "joined_by": [], "n_tracks": 1, "n_artists": 1}
    splits = [{"scheme": scheme, "fold": 0, "track_id": row[0], "split": row[4]} for row in rows]
    made = {
        TRACKS.filename: TRACKS.write(store, TRACKS.from_rows(tracks)),
        LABELS.filename: LABELS.write(store, LABELS.from_rows(labels)),
        TAGS.filename: TAGS.write(store, TAGS.from_rows({"tag": word, **tag} for word in words)),
        SPLITS.filename: SPLITS.write(store, SPLITS.from_rows(splits)),
    }
    entry = StageEntry(version=1, digest=digest_of(1), files=written(store, made))
    recipe = {"splits": {"ratios": ratios}}
    Receipt(name="x", manifest=digest_of(recipe), recipe=recipe, stages={"splits": entry}).write(store)
    return store


def audited(folder: Path, *rows: Row) -> dict[str, Any]:
    content: dict[str, Any] = audit(dataset(folder, rows))["schemes"][0]
    return content


def test_what_two_splits_share_is_named_with_where_it_lies(tmp_path: Path) -> None:
    found = audited(
        tmp_path,
        ("1", "a", "r1", ["x"], "train"),
        ("2", "a", "r2", ["x"], "test"),
        ("3", "b", "r2", ["x"], "valid"),
        ("4", "c", "r4", ["x"], "train"),
        ("5", "c", "r4", ["x"], "train"),
    )["shared"]
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
def test_a_leak_needs_a_split_that_is_measured(tmp_path: Path, here: str, there: str, count: int) -> None:
    found = audited(tmp_path, ("1", "a", "r1", ["x"], here), ("2", "a", "r1", ["x"], there))["shared"]
    assert found["artists"]["count"] == found["recordings"]["count"] == count


def test_the_first_split_of_the_recipe_is_learnt_from_whatever_its_name(tmp_path: Path) -> None:
    rows: list[Row] = [("1", "a", "r1", ["x"], "learn"), ("2", "a", "r2", ["x"], "extra")]
    assert audit(dataset(tmp_path, rows, ratios={"learn": 0.5, "try": 0.5}))["schemes"][0]["shared"]["artists"] == {
        "count": 0,
        "first": {},
    }


def test_an_artist_who_is_credited_on_a_track_counts(tmp_path: Path, command: Command) -> None:
    store = dataset(
        tmp_path,
        [
            ("1", "a", "r1", ["x"], "train", ["guest", "b"]),
            ("2", "guest", "r2", ["x"], "test"),
            ("3", "b", "r3", ["x"], "train", None),
            ("4", "c", "r4", ["x"], "test", []),
            ("5", "d", "r5", ["x"], "none", ["c"]),
        ],
    )
    assert command("audit", tmp_path).code == 1
    shared = json.loads(store.read_text("audit.json"))["schemes"][0]["shared"]
    assert shared["artists"] == {"count": 1, "first": {"guest": ["test", "train"]}}


def test_of_many_leaks_the_first_are_in_the_json_and_all_are_in_the_table(tmp_path: Path, command: Command) -> None:
    rows: list[Row] = [
        (f"{n:02d}{s}", f"a{n:02d}", f"{n}{s}", ["x"], s) for n in range(30) for s in ("train", "test")
    ]
    store = dataset(tmp_path, rows)
    ran = command("audit", tmp_path)
    assert "artist 'a04' is in test, train" in ran.out
    assert "and 25 artists more; see leaks.parquet" in ran.out
    found = json.loads(store.read_text("audit.json"))["schemes"][0]["shared"]
    assert found["artists"]["count"] == 30
    assert list(found["artists"]["first"]) == [f"a{n:02d}" for n in range(20)]
    assert found["recordings"]["count"] == 0
    listed = LEAKS.read(store).to_pylist()
    assert [row["key"] for row in listed if row["kind"] == "artist"] == [f"a{n:02d}" for n in range(30)]
    assert listed[7] == {
        "scheme": "default",
        "fold": 0,
        "kind": "artist",
        "key": "a07",
        "splits": ["test", "train"],
        "tracks": ["07test", "07train"],
        "n_tracks": 2,
    }
    assert [row["key"] for row in listed if row["kind"] == "caption"] == ["x"]
    dataset(tmp_path, CLEAN)
    assert command("audit", tmp_path).code == 0
    assert [row["kind"] for row in LEAKS.read(store).to_pylist()] == ["caption"]
    dataset(tmp_path, [*CLEAN[:1], ("2", "b", "r2", ["y"], "test")])
    assert command("audit", tmp_path).code == 0
    assert not store.exists(LEAKS.filename)


def brute_force(
    rows: Sequence[Row], learnt: frozenset[str]
) -> dict[str, dict[str, tuple[list[str], list[str], int]]]:
    """By kind and key: the splits that share it, the first track in each, and the tracks with it; pair by pair."""
    keys_of: dict[str, Callable[[Row], set[str]]] = {
        "artist": lambda row: {row[1], *((row[5] or []) if len(row) == 6 else [])},
        "recording": lambda row: {row[2]},
        "caption": lambda row: {" ".join(row[3])} if row[3] else set(),
    }
    found: dict[str, dict[str, tuple[list[str], list[str], int]]] = {}
    for kind, of in keys_of.items():
        found[kind] = {}
        used = [row for row in rows if row[4] != "none"]
        for key in {key for row in used for key in of(row)}:
            holding = [row for row in used if key in of(row)]
            leaks_in_pairs = any(a[4] != b[4] and not {a[4], b[4]} <= learnt for a in holding for b in holding)
            if leaks_in_pairs:
                splits = sorted({row[4] for row in holding})
                first = [min(row[0] for row in holding if row[4] == split) for split in splits]
                found[kind][key] = (splits, first, len(holding))
    return found


words = st.sampled_from("abcde")
tracks = st.lists(
    st.tuples(
        words,
        words,
        st.lists(st.sampled_from("xyz"), max_size=2, unique=True).map(sorted),
        st.sampled_from(["train", "valid", "test", "extra", "student", "none"]),
        st.none() | st.lists(words, max_size=3),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(drawn=tracks, draw=st.randoms(use_true_random=False))
def test_the_audit_is_what_every_pair_of_tracks_says(drawn: list[Any], draw: random.Random) -> None:
    rows: list[Row] = [(f"t{n:02d}", artist, f"r{sound}", *rest) for n, (artist, sound, *rest) in enumerate(drawn)]
    shuffled = draw.sample(rows, len(rows))
    with tempfile.TemporaryDirectory() as folder:
        store = dataset(Path(folder), shuffled)
        content = audit(store)["schemes"][0]
        listed = LEAKS.read(store).to_pylist() if store.exists(LEAKS.filename) else []
    expected = brute_force(rows, frozenset({"train", "extra", "student"}))
    found: dict[str, dict[str, Any]] = {"artist": {}, "recording": {}, "caption": {}}
    for row in listed:
        found[row["kind"]][row["key"]] = (row["splits"], row["tracks"], row["n_tracks"])
    assert found == expected
    assert content["shared"]["artists"]["count"] == len(expected["artist"])
    assert content["shared"]["recordings"]["count"] == len(expected["recording"])
    assert content["shared"]["captions"] == len(expected["caption"])
    used = [row for row in rows if row[4] != "none"]
    for split, told in content["splits"].items():
        inside = [row for row in used if row[4] == split]
        assert told["tracks"] == len(inside)
        assert told["labelled"] == sum(bool(row[3]) for row in inside)
        assert told["artists"] == len({row[1] for row in inside})
        assert told["tags"] == len({tag for row in inside for tag in row[3]})
    few = {
        (tag, split, len(counts), max(counts.values()) / sum(counts.values()))
        for tag in "xyz"
        for split in ("valid", "test")
        if (counts := Counter(row[1] for row in used if row[4] == split and tag in row[3]))
        and (len(counts) < 5 or max(counts.values()) * 2 >= sum(counts.values()))
    }
    assert {tuple(row.values()) for row in content["few_artists"]} == few


def test_counts_shares_and_distance_are_those_of_the_labelled(tmp_path: Path) -> None:
    found = audited(
        tmp_path,
        ("1", "a", "r1", ["x", "y"], "train"),
        ("2", "a", "r2", ["x"], "train"),
        ("3", "b", "r3", [], "train"),
        ("4", "c", "r4", ["x"], "test"),
        ("5", "d", "r5", ["y"], "test"),
        ("6", "e", "r6", [], "student"),
        ("7", "f", "r7", [], "none"),
    )
    assert found["splits"] == {
        "train": {"tracks": 3, "labelled": 2, "artists": 2, "share": 0.5, "tags": 2},
        "test": {"tracks": 2, "labelled": 2, "artists": 2, "share": 0.5, "tags": 2},
        "student": {"tracks": 1, "labelled": 0, "artists": 1, "share": 0.0, "tags": 0},
    }
    # Odds of x: 3 in the whole (3 of 4), of y: 1 (2 of 4). Train: x on both (half a row stands for none), y on one.
    distance = (abs(2 / 0.5 - 3) + abs(1 / 1 - 1) + abs(1 / 1 - 3) + abs(1 / 1 - 1)) / 4
    assert found["label_distance"] == pytest.approx(distance)
    assert found["shares_by_tag"] == {"x": {"train": 2, "test": 1}, "y": {"train": 1, "test": 1}}
    assert found["share_deviation"] == pytest.approx({"mean": (1 / 6 + 1 / 6 + 0 + 0) / 4, "largest": 1 / 6})


def test_tags_that_rest_on_few_artists_are_named_where_they_are_measured(tmp_path: Path) -> None:
    many: list[Row] = [(f"m{n}", f"a{n}", f"m{n}", ["common"], "test") for n in range(6)]
    one: list[Row] = [(f"o{n}", "b", f"o{n}", ["mine"], "test") for n in range(4)]
    half: list[Row] = [(f"h{n}", "c" if n < 5 else f"d{n}", f"h{n}", ["half"], "test") for n in range(10)]
    found = audited(tmp_path, *many, *one, *half, ("t", "e", "t", ["trained"], "train"))
    assert found["few_artists"] == [
        {"tag": "half", "split": "test", "artists": 6, "largest_share": 0.5},
        {"tag": "mine", "split": "test", "artists": 1, "largest_share": 1.0},
    ]


LEAK: list[Row] = [
    ("1", "a[/b]", "r1", ["x"], "train"),
    ("2", "a[/b]", "r2", ["x"], "test"),
    ("3", "b", "r2", ["x"], "train"),
]
CLEAN: list[Row] = [("1", "a", "r1", ["x"], "train"), ("2", "b", "r2", ["x"], "test")]


def test_a_leak_is_exit_1_and_names_what_is_shared(tmp_path: Path, command: Command) -> None:
    store = dataset(tmp_path, LEAK)
    ran = command("audit", tmp_path)
    assert ran.code == 1
    assert ran.err.startswith("tracklore: ")
    assert "shares 2 artists or recordings; see leaks.parquet" in ran.err
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
    ran = command("audit", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    warnings = [line for line in ran.out.splitlines() if line.startswith("warning: ")]
    assert warnings == ["warning: the split 'published' shares 2 artists or recordings; see leaks.parquet"]
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
