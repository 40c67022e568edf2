from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.progress import Reporter
from pipelines.stage import written
from pipelines.verify import TENSOR_TOLERANCE, compare, verify
from schemas.digests import digest_of
from schemas.receipt import Receipt, StageEntry
from schemas.shards import Clip, FeatureSpec, writing_shard
from schemas.store import Store
from schemas.tables import LABELS, TRACKS

Command = Callable[..., Any]
SHARD = "features/ttmr/ttmr-00000-of-00001.parquet"
SPEC = FeatureSpec("ttmr", "float16", (-1, 4), {"kind": "log_mel"})


def commit(store: Store, **rows: int) -> None:
    """List what is there, as a build does."""
    names = {"labels": LABELS.filename, "tracks": TRACKS.filename, "shard": SHARD}
    files = written(store, {names[key]: count for key, count in rows.items()})
    entry = StageEntry(version=1, digest=digest_of(1), files=files)
    Receipt(name="x", manifest=digest_of(1), stages={"all": entry}).write(store)


def dataset(root: str, change: float = 0.0, frames: int = 50, name: str = "t1", scale: float = 1.0) -> Store:
    """Three clips and a table; `change` is added to one value of the second clip."""
    store = Store(root)
    LABELS.write(store, LABELS.from_rows([{"track_id": name, "tags": ["a"], "caption": "a"}]))
    rng = np.random.default_rng(0)
    with writing_shard(store, SHARD, SPEC, {}) as writer:
        for number in range(3):
            data = (scale * rng.standard_normal((frames, 4))).astype(np.float16)
            if number == 1:
                data[7, 2] = np.float16(1.0 + change)
            writer.append(Clip(f"t{number}", 0, 0.0, data))
    commit(store, labels=1, shard=3)
    return store


def problems(store: Store) -> tuple[str, ...]:
    return verify(store, Reporter(quiet=True), 2).problems


def test_what_the_receipt_says_is_exit_0(tmp_path: Path, command: Command) -> None:
    store = dataset(str(tmp_path))
    found = verify(store, Reporter(quiet=True))
    assert (found.files, found.problems) == (2, ())
    assert found.bytes == sum((tmp_path / path).stat().st_size for path in ("labels.parquet", SHARD))
    ran = command("verify", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "2 files" in ran.out


@pytest.mark.parametrize("path", ["labels.parquet", SHARD])
def test_every_kind_of_damage_is_exit_1_with_the_way_out(path: str, tmp_path: Path, command: Command) -> None:
    store = dataset(str(tmp_path))
    data = (tmp_path / path).read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    for content, message in (
        (None, "is missing; tracklore build makes it again"),
        (data[:-1], f"has {len(data) - 1} bytes, not {len(data)}; tracklore build makes it again"),
        (b"", f"has 0 bytes, not {len(data)}"),
        (bytes(flipped), "its checksum is not the receipt's; tracklore build --check makes it again"),
    ):
        if content is None:
            (tmp_path / path).unlink()
        else:
            (tmp_path / path).write_bytes(content)
        (line,) = problems(store)
        assert line.startswith(f"{path}: ")
        assert message in line
        ran = command("verify", tmp_path)
        assert ran.code == 1
        assert line in ran.out
        assert ran.err == f"tracklore: {tmp_path}: 1 problems in 2 files\n"


def test_files_of_the_right_checksum_and_the_wrong_kind_are_told(tmp_path: Path) -> None:
    store = dataset(str(tmp_path))
    pq.write_table(pa.table({"track_id": ["t"], "tags": ["a"], "caption": ["a"]}), tmp_path / "labels.parquet")
    commit(store, labels=1, shard=3)
    (line,) = problems(store)
    assert "labels.parquet: column 'tags' is" in line
    (tmp_path / SHARD).write_bytes(b"PAR1 no shard")
    LABELS.write(store, LABELS.empty())
    commit(store, labels=0, shard=3)
    (line,) = problems(store)
    assert f"{SHARD}: is damaged" in line


def test_rows_that_the_receipt_counts_otherwise_are_told(tmp_path: Path) -> None:
    store = dataset(str(tmp_path))
    commit(store, labels=1, shard=4)
    assert problems(store) == (f"{SHARD}: has 3 clips, not 4",)
    commit(store, labels=2, shard=3)
    assert problems(store) == ("labels.parquet: has 1 rows, not 2",)


def test_all_that_is_wrong_is_listed_in_the_order_of_paths(tmp_path: Path) -> None:
    store = dataset(str(tmp_path))
    (tmp_path / "labels.parquet").unlink()
    (tmp_path / SHARD).unlink()
    assert [line.split(":")[0] for line in problems(store)] == [SHARD, "labels.parquet"]


def test_a_receipt_that_points_out_of_the_directory_is_refused(tmp_path: Path, command: Command) -> None:
    store = dataset(str(tmp_path / "data"))
    (tmp_path / "secret").write_text("x")
    receipt = json.loads((tmp_path / "data/receipt.json").read_text().replace("labels.parquet", "../secret"))
    del receipt["digest"]  # as who writes one by hand leaves it out
    store.write_text("receipt.json", json.dumps(receipt))
    ran = command("verify", tmp_path / "data")
    assert ran.code == 2
    assert "not a path inside its folder" in ran.err


def test_what_is_no_dataset_is_exit_2(tmp_path: Path, command: Command) -> None:
    for words in (("verify", tmp_path), ("verify", tmp_path / "none")):
        ran = command(*words)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert "no receipt.json here" in ran.err
    store = dataset(str(tmp_path / "data"))
    ran = command("verify", store.root, "--against", tmp_path)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert f"--against {tmp_path}: neither a dataset nor an export of its ids is there" in ran.err
    assert command("verify", store.root, "--workers", "0").code == 2


def test_equal_builds_compare_equal_wherever_they_lie(tmp_path: Path, command: Command) -> None:
    one, two = dataset(str(tmp_path / "a")), dataset("memory://verify-equal")
    assert compare(one, two) == []
    assert command("verify", one.root, "--against", two.root).code == 0


@pytest.mark.parametrize(("change", "lines"), [(TENSOR_TOLERANCE, 0), (0.003, 0), (0.006, 1), (1.0, 1)])
def test_tensors_may_differ_by_the_rounding_of_another_processor(change: float, lines: int, tmp_path: Path) -> None:
    """Of values about 1, a relative and an absolute 0.002 together allow 0.004."""
    one, two = dataset(str(tmp_path / "a")), dataset(str(tmp_path / "b"), change)
    found = compare(one, two)
    assert len(found) == lines
    if lines:
        assert found == [f"{SHARD}: track t1: tensors differ by more than 0.002"]


def test_tables_may_not_differ_at_all(tmp_path: Path, command: Command) -> None:
    one, two = dataset(str(tmp_path / "a")), dataset(str(tmp_path / "b"), name="t2")
    assert compare(one, two) == ["labels.parquet: differs"]
    ran = command("verify", one.root, "--against", two.root)
    assert ran.code == 1
    assert "labels.parquet: differs" in ran.out


def test_a_clip_of_another_length_or_other_files_are_told(tmp_path: Path) -> None:
    one, two = dataset(str(tmp_path / "a")), dataset(str(tmp_path / "b"), frames=49)
    assert compare(one, two) == [f"{SHARD}: track t{n}: tensors differ by more than 0.002" for n in range(3)]
    commit(one, labels=1)
    assert compare(one, two) == [f"{SHARD}: is only in {two.root}"]
    assert compare(two, one) == [f"{SHARD}: is only in {two.root}"]


def test_values_of_any_size_are_compared_by_their_own_scale(tmp_path: Path) -> None:
    one = dataset(str(tmp_path / "a"), scale=100.0)
    two = dataset(str(tmp_path / "b"), scale=100.0)
    three = dataset(str(tmp_path / "c"), scale=101.0)
    assert compare(one, two) == []
    assert len(compare(one, three)) == 3
