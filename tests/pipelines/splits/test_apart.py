"""Splits that stay apart from other datasets, from the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.splits.apart import contaminated, digest_of_others
from schemas.reasons import Reason
from schemas.store import Store
from schemas.tables import EXCLUSIONS, TRACKS

Command = Callable[..., Any]
HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"


def release(folder: Path, tracks: range) -> Path:
    """A release in MTG-Jamendo's format: three tracks an artist, every tenth track in test."""
    folder.mkdir()
    lines: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for n in tracks:
        part = "test" if n % 10 == 0 else "validation" if n % 10 == 1 else "train"
        tag = "genre---rock" if n % 2 else "genre---pop"
        lines[part].append(f"track_{n:07d}\tartist_{n // 3:06d}\talbum_000001\t00/{n}.mp3\t30.0\t{tag}")
    for part, rows in lines.items():
        (folder / f"autotagging_top50tags-{part}.tsv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


def words(source: Path, out: Path, *more: str) -> list[str]:
    settings = ["--set", f"source.path={source}", *more]
    return ["build", "mtg_jamendo", *settings, "--out", str(out), "--only", "splits"]


@pytest.fixture
def other(tmp_path: Path, command: Command) -> Path:
    """A dataset of the tracks 90 to 119."""
    ran = command(*words(release(tmp_path / "other-tsv", range(90, 120)), tmp_path / "other"))
    assert ran.code == 0, ran.err
    return tmp_path / "other"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The tracks 0 to 98: nine of them are in the other dataset."""
    return release(tmp_path / "tsv", range(99))


def splits_of(out: Path, scheme: str = "default") -> dict[str, str]:
    rows = pq.read_table(out / "splits.parquet").to_pylist()
    return {row["track_id"]: row["split"] for row in rows if row["scheme"] == scheme}


def test_contaminated_tracks_leave_the_split_and_are_told(
    source: Path, other: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "out"
    ran = command(*words(source, out, "--set", f"splits.apart_from=[{other}]"))
    assert ran.code == 0, ran.err
    theirs = {f"track_{n:07d}" for n in range(90, 99)}
    found = splits_of(out)
    assert {track for track, split in found.items() if split == "none"} == theirs
    assert len(found) == 99
    rows = [row for row in EXCLUSIONS.read(Store(str(out))).to_pylist() if row["stage"] == "splits"]
    assert {row["id"] for row in rows} == theirs
    assert {row["reason"] for row in rows} == {"contaminated"}
    assert rows[0]["detail"].startswith("in mtg_jamendo: 'track_0000090' (default/")
    assert rows[0]["detail"].endswith("by id")
    assert "9 tracks are in datasets to stay apart from, and in no split" in ran.out
    assert "against 'mtg_jamendo': the split 'default' has 0 tracks to learn from that are among its 30" in ran.out
    assert "warning: the split 'published' learns from 7 tracks of 'mtg_jamendo'" in ran.out
    assert command("verify", out).code == 0
    content = json.loads((out / "audit.json").read_text())
    by_scheme = {row["scheme"]: row["found"]["count"] for row in content["against"][0]["schemes"]}
    assert by_scheme == {"default": 0, "published": 7}
    assert str(tmp_path) not in (out / "receipt.json").read_text() + (out / "audit.json").read_text()


def test_without_it_the_audit_says_what_it_would_have_dropped(
    source: Path, other: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "out"
    assert command(*words(source, out)).code == 0
    assert command("audit", out).code == 0
    ran = command("audit", out, "--against", other)
    learnt = [f"track_{n:07d}" for n in range(90, 99) if splits_of(out)[f"track_{n:07d}"] == "train"]
    assert ran.code == 1
    assert f"the split 'default' learns from {len(learnt)} tracks of 'mtg_jamendo'" in ran.err


def test_where_the_others_lie_and_in_which_order_decides_nothing_and_what_they_hold_does(
    source: Path, other: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    third = tmp_path / "third"
    assert command(*words(release(tmp_path / "third-tsv", range(10)), third)).code == 0
    assert command(*words(source, out, "--set", f"splits.apart_from=[{other}, {third}]")).code == 0
    receipt = (out / "receipt.json").read_bytes()
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(other, moved)
    monkeypatch.chdir(tmp_path / "elsewhere")
    ran = command(*words(source, out, "--set", "splits.apart_from=[../third, moved]"))
    assert ran.code == 0, ran.err
    assert "everything stands" in ran.out
    assert (out / "receipt.json").read_bytes() == receipt
    ran = command(*words(source, out, "--set", "splits.apart_from=[moved]"))
    assert "everything stands" not in ran.out
    assert set(splits_of(out).values()) == {"train", "valid", "test", "none"}
    ran = command(*words(source, out))
    assert "everything stands" not in ran.out
    assert "none" not in splits_of(out).values()


def test_a_path_in_a_manifest_starts_where_the_manifest_lies(
    source: Path, other: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "name: mine\nsource: {kind: mtg_jamendo}\ntags: {rules: none, min_tracks: 1}\n"
        "splits: {apart_from: [../other]}\n"
    )
    monkeypatch.chdir(source)
    out = tmp_path / "out"
    ran = command("build", folder / "mine.yaml", "--set", "source.path=.", "--out", out, "--only", "splits")
    assert ran.code == 0, ran.err
    assert sum(split == "none" for split in splits_of(out).values()) == 9


def test_what_one_cannot_stay_apart_from_is_told(source: Path, tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    assert command(*words(source, out)).code == 0
    for path, problem in (
        (tmp_path / "nothing", "is no folder"),
        (source, "no receipt.json here"),
        (out, "is the dataset itself"),
    ):
        ran = command(*words(source, out, "--set", f"splits.apart_from=[{path}]"))
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert "splits.apart_from: " in ran.err
        assert problem in ran.err


def test_as_a_function_it_depends_on_no_order(source: Path, other: Path, tmp_path: Path, command: Command) -> None:
    again = tmp_path / "again"
    assert command(*words(release(tmp_path / "again-tsv", range(95, 100)), again)).code == 0
    assert command(*words(source, tmp_path / "out")).code == 0
    tracks = TRACKS.read(Store(str(tmp_path / "out")))
    others = [Store(str(other)), Store(str(again))]
    found = contaminated(tracks, others, "mtg_jamendo")
    assert list(found) == [f"track_{n:07d}" for n in range(90, 99)]
    assert {reason for reason, _ in found.values()} == {Reason.CONTAMINATED}
    assert found == contaminated(tracks, others[::-1], "mtg_jamendo") == contaminated(tracks, others)
    assert digest_of_others(others) == digest_of_others(others[::-1]) != digest_of_others(others[:1])
    assert contaminated(tracks, []) == {}
