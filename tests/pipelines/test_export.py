"""Ids without annotations: what an export holds, and how a rebuild is held against it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.store import Store
from schemas.tables import LABELS, SPLITS, TAGS, TRACKS

Command = Callable[..., Any]


@pytest.fixture
def export(built: Path, tmp_path: Path, command: Command) -> Path:
    ran = command("export", built, "--out", tmp_path / "ids", "--ids-only")
    assert ran.code == 0, ran.err
    assert "splits.parquet (15 rows)" in ran.out
    return tmp_path / "ids"


def test_it_holds_ids_and_splits_and_no_annotation(built: Path, export: Path) -> None:
    assert sorted(path.name for path in export.iterdir()) == [
        "README.md",
        "export.json",
        "manifest.yaml",
        "pair_ids.parquet",
        "splits.parquet",
    ]
    assert (export / "splits.parquet").read_bytes() == (built / "splits.parquet").read_bytes()
    pairs, ids = pq.read_table(built / "pairs.parquet"), pq.read_table(export / "pair_ids.parquet")
    assert ids.to_pylist() == pairs.select(["scheme", "fold", "pair_id", "track_id"]).to_pylist()
    whole = b"".join(path.read_bytes() for path in export.iterdir()).decode("latin1")
    store = Store(str(built))
    tracks = TRACKS.read(store)
    told = {*tracks.column("artist_name").to_pylist(), *tracks.column("title").to_pylist()}
    told |= set(LABELS.read(store).column("caption").drop_null().to_pylist())
    assert not [text for text in told if text and text.encode().decode("latin1") in whole]
    tags = set(TAGS.read(store).column("tag").to_pylist())
    for path in export.glob("*.parquet"):
        values = {value for column in pq.read_table(path).columns for value in column.to_pylist()}
        assert not tags & values
    assert str(built.parent) not in whole


def test_whoever_has_the_sources_builds_the_same_from_it(
    built: Path, export: Path, tmp_path: Path, command: Command
) -> None:
    """As its README says, to the letter."""
    lines = (export / "README.md").read_text().splitlines()
    build, verify = (line.split() for line in lines if line.startswith("    tracklore "))
    again = tmp_path / "again"
    place = {"manifest.yaml": export / "manifest.yaml", "DATA": again, "THIS_FOLDER": export}
    # The demo's source needs no path.
    build = [word for word in build[1:] if word not in ("--set", "source.path=SOURCE")]
    ran = command(*(place.get(word, word) for word in build), "--only", "splits")
    assert ran.code == 0, ran.err
    ran = command(*(place.get(word, word) for word in verify[1:]))
    assert (ran.code, ran.err) == (0, "")
    told = json.loads((export / "export.json").read_text())
    receipt = json.loads((again / "receipt.json").read_text())
    assert receipt["manifest"] == told["manifest"]
    assert {name: entry["digest"] for name, entry in receipt["stages"].items() if name != "exclusions"} == {
        name: digest for name, digest in told["stages"] if name in ("source", "tags", "splits")
    }


def test_another_split_is_told_with_where_it_began(
    data: Path, export: Path, command: Command, small: Sequence[str]
) -> None:
    assert command("verify", data, "--against", export).code == 0
    ratios = "splits.ratios={train: 0.3, valid: 0.3, test: 0.4}"
    ran = command("build", "demo", "--out", data, *small, "--set", ratios, "--only", "splits")
    assert ran.code == 0, ran.err
    before = SPLITS.read(Store(str(export))).column("split").to_pylist()
    after = SPLITS.read(Store(str(data))).column("split").to_pylist()
    differing = [n for n, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    ran = command("verify", data, "--against", export)
    assert ran.code == 1
    there, here = before[differing[0]], after[differing[0]]
    first = f"track_id 'demo-{differing[0] + 1:04d}': {here!r} here, {there!r} in the export"
    assert f"splits: {len(differing)} of 15 rows differ, first scheme 'default', fold 0, {first}" in ran.out
    assert "stage splits: made from something else" in ran.out
    assert "stage source" not in ran.out


def test_a_rebuild_that_lacks_tracks_is_told(
    data: Path, export: Path, command: Command, small: Sequence[str]
) -> None:
    fewer = [*small[:3], "source.tracks=10", *small[4:]]
    assert command("build", "demo", "--out", data, *fewer, "--only", "splits").code == 0
    ran = command("verify", data, "--against", export)
    assert ran.code == 1
    assert "stage source: made from something else: its source files or settings are not those" in ran.out


def test_the_same_dataset_gives_the_same_bytes_and_may_be_exported_again(
    built: Path, export: Path, tmp_path: Path, command: Command
) -> None:
    before = {path.name: path.read_bytes() for path in export.iterdir()}
    assert command("export", built, "--out", export, "--ids-only").code == 0
    assert {path.name: path.read_bytes() for path in export.iterdir()} == before
    (export / "export.json").unlink()  # as a killed export leaves it
    assert command("export", built, "--out", export, "--ids-only").code == 0
    copy = tmp_path / "copy"
    shutil.copytree(built, copy)
    assert command("export", copy, "--out", tmp_path / "second", "--ids-only").code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()} == before


def test_an_export_that_was_damaged_is_refused(built: Path, export: Path, command: Command) -> None:
    table = export / "splits.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"!")
    ran = command("verify", built, "--against", export)
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "splits.parquet: is missing or not what export.json says" in ran.err
    (export / "export.json").write_text("[")
    ran = command("verify", built, "--against", export)
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "export.json: is damaged" in ran.err
    assert command("export", built, "--out", export, "--ids-only").code == 0
    assert command("verify", built, "--against", export).code == 0


def test_what_cannot_be_exported_or_written_is_told(
    built: Path, data: Path, export: Path, tmp_path: Path, command: Command, small: Sequence[str]
) -> None:
    readme = tmp_path / "mine"
    readme.mkdir()
    (readme / "README.md").write_text("mine")
    told = json.loads((export / "export.json").read_text())
    (export / "export.json").write_text(json.dumps({**told, "name": "another"}))
    bare = tmp_path / "bare"
    assert command("build", "demo", "--out", bare, *small, "--only", "tags").code == 0
    for words, problem in (
        ((built, "--out", tmp_path / "x"), "say --ids-only"),
        ((tmp_path / "none", "--out", tmp_path / "x", "--ids-only"), "no receipt.json here"),
        ((bare, "--out", tmp_path / "x", "--ids-only"), "has no splits"),
        ((built, "--out", data, "--ids-only"), "is not empty and holds no export"),
        ((built, "--out", readme, "--ids-only"), "is not empty and holds no export (README.md)"),
        ((built, "--out", export, "--ids-only"), "holds the export of 'another'"),
    ):
        ran = command("export", *words)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), words
        assert problem in ran.err
    assert (readme / "README.md").read_text() == "mine"
    assert not (tmp_path / "x").exists()
    ran = command("verify", built, "--against", export)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "is of 'another'" in ran.err


def test_splits_that_were_changed_by_hand_are_not_exported(data: Path, tmp_path: Path, command: Command) -> None:
    store = Store(str(data))
    SPLITS.write(store, SPLITS.read(store).slice(1))
    ran = command("export", data, "--out", tmp_path / "changed", "--ids-only")
    assert ran.code == 1
    assert "splits.parquet: is not what the receipt lists" in ran.err
    assert not (tmp_path / "changed/export.json").exists()
