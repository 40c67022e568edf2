"""Training data in an object store: the same crops as from the disk, asked for many at a time."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from schemas.errors import DataError
from schemas.receipt import FileEntry
from schemas.shards import Clip, FeatureSpec, writing_shard
from schemas.store import Store
from tests.object_store import object_store, use_store
from train.data.dataset import Dataset
from train.data.loader import ahead
from train.data.order import EpochOrder
from train.data.reader import Array, ClipReader, Crop, random_crop

FRAMES, BATCH, STEPS = 8, 8, 6


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an object store whose every answer takes 20 ms longer."""
    with object_store(0.02) as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    use_store(endpoint, monkeypatch)
    fsspec.filesystem("s3").makedirs("music", exist_ok=True)
    return "s3://music"


@pytest.fixture
def remote(dataset: Path, bucket: str) -> Dataset:
    here, there = Store(str(dataset)), Store(f"{bucket}/dataset")
    for info in here.list():
        there.write_bytes(info.path, here.read_bytes(info.path))
    return Dataset(there.root)


def batches(reader: ClipReader, *, threads: int = 2, depth: int = 4) -> list[Array]:
    tracks = list(reader.clips.values())
    order = EpochOrder(len(tracks), BATCH, 0)

    def make(step: int) -> Array:
        epoch, within = divmod(step, order.steps)
        return reader.read(
            [random_crop(tracks[i], FRAMES, seed=0, epoch=epoch) for i in order.share(epoch, within)]
        )

    return list(ahead(make, range(STEPS), threads=threads, depth=depth))


def counts(endpoint: str) -> dict[str, int]:
    """What the store was asked since the last call."""
    with urllib.request.urlopen(f"{endpoint}/-/counts", timeout=10) as answer:
        found: dict[str, int] = json.loads(answer.read())
    return found


def test_an_object_store_gives_what_the_disk_gives(dataset: Path, remote: Dataset, endpoint: str) -> None:
    reader = remote.reader("ttmr")
    local = Dataset(str(dataset)).reader("ttmr")
    assert reader.clips == local.clips
    counts(endpoint)
    for ours, theirs in zip(batches(reader), batches(local), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # More than one batch can ask of its shards: the next one is read ahead.
    assert counts(endpoint)["most"] > len(remote.shards("ttmr"))


def test_a_shard_is_opened_by_its_footer(bucket: str, endpoint: str) -> None:
    store, path = Store(f"{bucket}/one"), "features/x/x.parquet"
    with writing_shard(store, path, FeatureSpec("x", "float16", (-1, 16), {}), {}) as writer:
        for number in range(64):
            writer.append(Clip(f"t{number:02d}", 0, number / 2, np.full((1000, 16), number, np.float16)))
    entry = FileEntry(sha256=store.sha256(path), bytes=store.size(path) or 0, rows=64)
    counts(endpoint)
    reader = ClipReader(store, {path: entry})
    asked = counts(endpoint)
    assert asked["bytes"] < entry.bytes / 8
    assert asked["requests"] <= 5
    assert [refs[0].start_s for refs in reader.clips.values()] == [number / 2 for number in range(64)]
    assert (reader.clip(reader.clips["t07"][0]) == 7).all()


def test_crops_of_one_clip_are_one_request(remote: Dataset, endpoint: str) -> None:
    reader = remote.reader("ttmr")
    ref = max((refs[0] for refs in reader.clips.values()), key=lambda ref: ref.frames)
    whole = reader.clip(ref)
    counts(endpoint)
    crops = [Crop(ref, start, FRAMES) for start in (3, 0, ref.frames - FRAMES, 3)]
    read = reader.read(crops)
    assert counts(endpoint)["requests"] == 1
    for row, crop in zip(read, crops, strict=True):
        np.testing.assert_array_equal(row, whole[crop.start : crop.start + FRAMES])


def test_a_shard_that_vanishes_is_named(remote: Dataset) -> None:
    reader = remote.reader("ttmr")
    (first, *_) = sorted(remote.shards("ttmr"))
    clip = next(ref for refs in reader.clips.values() for ref in refs if ref.shard == 0)
    remote.store.remove(first)
    with pytest.raises(DataError, match=r"ttmr-00000-of-0000\d\.parquet: cannot be read"):
        reader.read([Crop(clip, 0, 4)])
