"""What the trainer reads of a dataset is what the receipt lists, to the last bit, and is read for that once."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import DataError
from schemas.receipt import FileEntry, StageEntry, require_receipt
from schemas.store import Store
from schemas.tables import LABELS, SPLITS, TRACKS
from train import cli
from train.data.dataset import Dataset

SHARD = "features/ttmr/ttmr-00001-of-00003.parquet"
SHARDS = [f"features/ttmr/ttmr-0000{number}-of-00003.parquet" for number in range(3)]
REFUSED = rf"^\S+/{SHARD}: its checksum is not the receipt's; tracklore build --check makes it again, .*verify\b.*$"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is known from before."""
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    """A dataset to change."""
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read whole for their digests, in the order of their names once sorted."""
    found: list[str] = []
    true = Store.sha256

    def counted(store: Store, relative: str) -> str:
        found.append(relative)
        time.sleep(0.02)  # so that others who want the same are there before the end
        return true(store, relative)

    monkeypatch.setattr(Store, "sha256", counted)
    return found


def flip(path: Path) -> None:
    """One bit in the middle, which in a shard is a tensor's."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_refused(copy: Path) -> None:
    assert len(Dataset(str(copy)).reader("ttmr"))
    flip(copy / SHARD)
    for _ in range(2):
        with pytest.raises(DataError, match=REFUSED):
            Dataset(str(copy)).reader("ttmr")
        with pytest.raises(DataError, match=REFUSED):
            Dataset(str(copy)).joined(["ttmr"])


@pytest.mark.parametrize("verb", ["train", "evaluate", "search"])
def test_every_verb_refuses_it(
    verb: str, copy: Path, trained: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    flip(copy / SHARD)
    run = tmp_path / "run"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("embeddings.parquet"))
    words = {
        "train": ("train", "demo", "--data", copy, "--out", tmp_path / "new"),
        "evaluate": ("evaluate", run, "--data", copy),
        "search": ("search", run, "calm piano", "--data", copy),
    }
    ran = command(*words[verb])
    assert ran.code == 1
    (line,) = ran.err.strip().splitlines()
    assert SHARD in line and "--check" in line
    assert not (tmp_path / "new").exists()


def test_a_table_that_rots_is_refused(copy: Path) -> None:
    flip(copy / SPLITS.filename)
    with pytest.raises(DataError, match=r"splits\.parquet: its checksum is not"):
        Dataset(str(copy)).split_of("default", 0)
    assert Dataset(str(copy)).read(LABELS)


def test_what_was_right_is_not_read_again(copy: Path, hashed: list[str]) -> None:
    reader = Dataset(str(copy)).reader("ttmr")
    assert sorted(hashed) == SHARDS
    hashed.clear()
    again = Dataset(f"{copy}/").reader("ttmr")
    assert len(pickle.loads(pickle.dumps(again))) == len(reader)
    assert hashed == []


def test_a_file_of_another_time_is_read_again(copy: Path, hashed: list[str]) -> None:
    Dataset(str(copy)).reader("ttmr")
    hashed.clear()
    status = (copy / SHARD).stat()
    os.utime(copy / SHARD, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000))
    assert len(Dataset(str(copy)).reader("ttmr"))
    assert hashed == [SHARD]


def test_what_was_wrong_is_not_remembered(copy: Path) -> None:
    content, status = (copy / SHARD).read_bytes(), (copy / SHARD).stat()
    flip(copy / SHARD)
    os.utime(copy / SHARD, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError, match=REFUSED):
        Dataset(str(copy)).reader("ttmr")
    (copy / SHARD).write_bytes(content)
    os.utime(copy / SHARD, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(Dataset(str(copy)).reader("ttmr"))


def test_only_what_is_read_is_checked(copy: Path, hashed: list[str]) -> None:
    store = Store(str(copy))
    receipt = require_receipt(store)
    entry = FileEntry(sha256="0" * 64, bytes=1, rows=1)
    other = StageEntry(version=1, digest="0" * 64, files={"features/other/other-00000-of-00001.parquet": entry})
    receipt.model_copy(update={"stages": {**receipt.stages, "features.other": other}}).write(store)
    Dataset(str(copy)).reader("ttmr")
    assert sorted(hashed) == SHARDS
    with pytest.raises(DataError, match="is missing"):
        Dataset(str(copy)).reader("other")


def test_of_several_at_once_one_reads(copy: Path, hashed: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        readers = list(pool.map(lambda _: Dataset(str(copy)).reader("ttmr"), range(4)))
    assert len({len(reader) for reader in readers}) == 1
    assert sorted(hashed) == SHARDS


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """As on a full disk, for this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("how", ["no folder", "full"])
def test_a_cache_that_cannot_be_written_costs_time_only(
    how: str, copy: Path, cache: Path, hashed: list[str]
) -> None:
    if how == "no folder":
        cache.write_text("")
    for _ in range(2):
        if how == "full":
            with no_file_may_grow():
                assert len(Dataset(str(copy)).reader("ttmr"))
        else:
            assert len(Dataset(str(copy)).reader("ttmr"))
    assert sorted(hashed) == sorted([*SHARDS, *SHARDS])
    flip(copy / SHARD)
    with pytest.raises(DataError, match=REFUSED):
        Dataset(str(copy)).reader("ttmr")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": 1}', b"\xff"])
def test_a_damaged_memory_is_begun_anew(content: bytes, copy: Path, cache: Path, hashed: list[str]) -> None:
    Dataset(str(copy)).reader("ttmr")
    (memory,) = (cache / "digests").iterdir()
    memory.write_bytes(content)
    hashed.clear()
    for _ in range(2):
        Dataset(str(copy)).reader("ttmr")
    assert sorted(hashed) == SHARDS


def test_a_remote_store_is_asked_for_no_whole_file(copy: Path, hashed: list[str]) -> None:
    here, there = Store(str(copy)), Store("memory://checks-test")
    for info in here.list():
        there.write_bytes(info.path, here.read_bytes(info.path))
    assert len(Dataset(there.root).reader("ttmr")) and Dataset(there.root).read(LABELS)
    assert hashed == []


def test_a_second_training_begins_at_once(
    copy: Path, tmp_path: Path, small: tuple[str, ...], hashed: list[str]
) -> None:
    read = []
    for number in range(2):
        hashed.clear()
        cli.train("demo", str(copy), str(tmp_path / f"run-{number}"), settings=(*small, "training.epochs=1"))
        read.append({path for path in hashed if (copy / path).exists()})
    assert read[0] == {*SHARDS, LABELS.filename, SPLITS.filename, TRACKS.filename}
    assert read[1] == set()
