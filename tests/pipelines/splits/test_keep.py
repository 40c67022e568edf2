"""`--keep`, from the command line: what is kept stays, and what is new follows it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.store import Store
from schemas.tables import EXCLUSIONS

Command = Callable[..., Any]
HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
COLUMNS = ("--id", "track", "--group", "artist", "--labels", "tags")
RATIOS = ("--ratio", "train=0.6", "--ratio", "valid=0.2", "--ratio", "test=0.2")


def release(folder: Path, artists: range) -> Path:
    """A release in MTG-Jamendo's format: six tracks an artist, in an official split that tears every artist."""
    folder.mkdir()
    lines: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for artist in artists:
        for n in range(6):
            tag = "genre---rock" if (artist + n) % 3 else "genre---pop"
            cells = [
                f"track_{artist * 6 + n:07d}",
                f"artist_{artist:06d}",
                "album_000001",
                f"00/{n}.mp3",
                "30.0",
                tag,
            ]
            lines[("train", "validation", "test")[n % 3]].append("\t".join(cells))
    for part, rows in lines.items():
        (folder / f"autotagging_top50tags-{part}.tsv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


def words(source: Path, out: Path, *more: str) -> list[str]:
    return ["build", "mtg_jamendo", "--set", f"source.path={source}", *more, "--out", str(out), "--only", "splits"]


def splits_of(path: Path, scheme: str = "default") -> dict[str, str]:
    rows = pq.read_table(path / "splits.parquet").to_pylist()
    return {row["track_id"]: row["split"] for row in rows if row["scheme"] == scheme}


def test_a_dataset_that_grows_keeps_every_old_assignment(tmp_path: Path, command: Command) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert command(*words(release(tmp_path / "small", range(60)), old)).code == 0
    large = release(tmp_path / "large", range(90))
    ran = command(*words(large, new, "--set", "splits.seed=7", "--keep", str(old / "splits.parquet")))
    assert ran.code == 0, ran.err
    before, after = splits_of(old), splits_of(new)
    assert len(before) == 360
    assert len(after) == 540
    assert {track: after[track] for track in before} == before
    assert "360 tracks keep their splits, 180 are new" in ran.out
    sizes = [list(after.values()).count(split) / 540 for split in ("train", "valid", "test")]
    assert sizes == pytest.approx([0.59, 0.20, 0.21], abs=0.03)
    for artist in range(90):
        assert len({after[f"track_{artist * 6 + n:07d}"] for n in range(6)}) == 1
    assert command("verify", new).code == 0
    assert command("audit", new).code == 0
    assert str(tmp_path) not in (new / "receipt.json").read_text()
    assert (
        "everything stands"
        in command(*words(large, new, "--set", "splits.seed=7", "--keep", str(old / "splits.parquet"))).out
    )


def test_new_tracks_of_a_known_artist_follow_and_of_a_torn_one_are_told(tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    source = release(tmp_path / "tsv", range(30))
    kept = {f"track_{artist * 6:07d}": ("train", "valid", "test")[artist % 3] for artist in range(20)}
    kept["track_0000001"] = "test"
    table = pa.table({"track_id": list(kept), "split": list(kept.values())})
    pq.write_table(table, tmp_path / "kept.parquet")
    ran = command(*words(source, out, "--keep", str(tmp_path / "kept.parquet")))
    assert ran.code == 1
    assert "artist" in ran.err
    found = splits_of(out)
    assert {track: found[track] for track in kept} == kept
    for artist in range(1, 20):
        assert {found[f"track_{artist * 6 + n:07d}"] for n in range(6)} == {kept[f"track_{artist * 6:07d}"]}
    assert {found[f"track_{n:07d}"] for n in range(2, 6)} == {"none"}
    rows = [row for row in EXCLUSIONS.read(Store(str(out))).to_pylist() if row["stage"] == "splits"]
    assert {(row["id"], row["reason"]) for row in rows} == {
        (f"track_{n:07d}", "artist_in_two_splits") for n in range(2, 6)
    }


def test_a_table_that_grows_keeps_every_old_row(tmp_path: Path, command: Command) -> None:
    draw = random.Random(6)
    rows = [
        {
            "track": f"t{n:03d}",
            "artist": f"a{n // 4 % 50}",
            "tags": draw.sample(["rock", "pop", "sad"], draw.randint(0, 2)),
        }
        for n in range(300)
    ]
    for name, listed in (("old", rows[:160]), ("all", rows)):
        pq.write_table(pa.Table.from_pylist(listed), tmp_path / f"{name}.parquet")
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    assert command("split", tmp_path / "old.parquet", "--out", first, *COLUMNS, *RATIOS).code == 0
    more = ("--keep", str(first), "--seed", "5")
    assert command("split", tmp_path / "all.parquet", "--out", second, *COLUMNS, *RATIOS, *more).code == 0
    before, after = (dict(zip(*pq.read_table(path).to_pydict().values(), strict=True)) for path in (first, second))
    assert len(after) == 300
    assert {track: after[track] for track in before} == before
    for n in range(50):
        assert len({after[row["track"]] for row in rows if row["artist"] == f"a{n}"}) == 1


def test_what_cannot_be_kept_is_told(tmp_path: Path, command: Command) -> None:
    source = release(tmp_path / "tsv", range(6))
    for name, table, code, told in (
        ("none", None, 2, "no such file"),
        ("dev", {"track_id": ["track_0000000"], "split": ["dev"]}, 2, "'dev' is kept"),
        ("twice", {"track_id": ["a", "a"], "split": ["train", "test"]}, 1, "'a' stands twice"),
        ("bare", {"track_id": ["a"]}, 1, "no column 'split'"),
    ):
        path = tmp_path / f"{name}.parquet"
        if table is not None:
            pq.write_table(pa.table(table), path)
        ran = command(*words(source, tmp_path / "out", "--keep", str(path)))
        assert ran.code == code
        assert ran.err.splitlines()[-1].startswith("tracklore: ")
        assert told in ran.err.splitlines()[-1]


def test_what_cannot_be_kept_costs_no_split_that_stood(tmp_path: Path, command: Command) -> None:
    source, out = release(tmp_path / "tsv", range(12)), tmp_path / "out"
    assert command(*words(source, out)).code == 0
    before = splits_of(out)
    wrong = tmp_path / "wrong.parquet"
    pq.write_table(pa.table({"track_id": ["track_0000000"], "split": ["dev"]}), wrong)
    assert command(*words(source, out, "--keep", str(wrong))).code == 2
    pq.write_table(pa.table({"track_id": ["track_0000000"]}), wrong)
    assert command(*words(source, out, "--keep", str(wrong))).code == 1
    assert splits_of(out) == before
    assert command("audit", out).code == 0


def test_a_table_kept_for_other_ids_is_told(tmp_path: Path, command: Command) -> None:
    rows = [{"track": n, "artist": f"a{n // 5}", "tags": ["x"]} for n in range(50)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    kept = pa.table({"track": [f"{n:03d}" for n in range(50)], "split": ["train"] * 50})
    pq.write_table(kept, tmp_path / "kept.parquet")
    args = ["split", tmp_path / "t.parquet", "--out", tmp_path / "o.parquet", *COLUMNS, *RATIOS]
    ran = command(*args, "--keep", tmp_path / "kept.parquet")
    assert ran.code == 0
    assert "50 of its rows are not in" in ran.out + ran.err


def test_an_export_of_what_was_kept_says_how_to_rebuild_it(tmp_path: Path, command: Command) -> None:
    source, old, out = release(tmp_path / "tsv", range(24)), tmp_path / "old", tmp_path / "out"
    assert command(*words(source, old)).code == 0
    kept = ("--set", "splits.seed=5", "--keep", str(old / "splits.parquet"))
    assert command(*words(source, out, *kept)).code == 0
    assert command("export", out, "--out", tmp_path / "ids", "--ids-only").code == 0
    text = (tmp_path / "ids/README.md").read_text()
    (line,) = [line.strip() for line in text.splitlines() if line.strip().startswith("tracklore build")]
    place = {
        "manifest.yaml": str(tmp_path / "ids/manifest.yaml"),
        "source.path=SOURCE": f"source.path={source}",
        "DATA": str(tmp_path / "again"),
        "THIS_FOLDER/splits.parquet": str(tmp_path / "ids/splits.parquet"),
    }
    ran = command(*(place.get(word, word) for word in line.split()[1:]))
    assert ran.code == 0, ran.err
    assert command("verify", tmp_path / "again", "--against", tmp_path / "ids").code == 0
