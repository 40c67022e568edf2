"""The shard reader against plain slices of the arrays that were written."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DataError
from schemas.store import Store
from train.data.dataset import Dataset
from train.data.reader import ClipReader, ClipRef, Crop, centre_crop, covering_crops, random_crop

Clips = dict[str, list[npt.NDArray[np.float16]]]


@pytest.fixture(scope="module", params=["local", "memory"])
def reader(request: pytest.FixtureRequest, dataset: Path) -> ClipReader:
    """The dataset's reader, from the disk and from a store that only gives ranges."""
    if request.param == "local":
        return Dataset(str(dataset)).reader("ttmr")
    here, there = Store(str(dataset)), Store("memory://reader-test")
    for info in here.list():
        there.write_bytes(info.path, here.read_bytes(info.path))
    return Dataset(there.root).reader("ttmr")


def test_every_clip_reads_back_whole(reader: ClipReader, clips: Clips) -> None:
    assert set(reader.clips) == set(clips)
    assert len(reader) == len(clips) + 1
    for track, refs in reader.clips.items():
        assert [ref.segment for ref in refs] == list(range(len(clips[track])))
        for ref, written in zip(refs, clips[track], strict=True):
            np.testing.assert_array_equal(reader.clip(ref), written)


def test_crops_are_slices(reader: ClipReader, clips: Clips) -> None:
    rng = np.random.default_rng(0)
    crops, expected = [], []
    for track in rng.permutation(sorted(clips)):
        ref = reader.clips[str(track)][0]
        if ref.frames >= 24:
            start = int(rng.integers(0, ref.frames - 24 + 1))
            crops.append(Crop(ref, start, 24))
            expected.append(clips[str(track)][0][start : start + 24])
    read = reader.read(crops)
    assert read.dtype == np.float16
    np.testing.assert_array_equal(read, np.stack(expected))
    read[:] = 0  # a crop is a copy: writing to it must not reach the shard
    np.testing.assert_array_equal(reader.read(crops), np.stack(expected))


def test_a_short_clip_is_filled_at_its_end_with_its_lowest_value(reader: ClipReader, clips: Clips) -> None:
    track = next(t for t, found in clips.items() if len(found[0]) == 20)
    read = reader.read([Crop(reader.clips[track][0], 0, 32)])[0]
    np.testing.assert_array_equal(read[:20], clips[track][0])
    assert (read[20:] == clips[track][0].min()).all()


def test_a_reader_travels_to_another_process(reader: ClipReader, clips: Clips) -> None:
    reader.clip(reader.clips["t000"][0])
    moved = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(moved.clip(moved.clips["t001"][0]), clips["t001"][0])


def test_a_start_outside_the_clip_is_a_fault(reader: ClipReader) -> None:
    ref = reader.clips["t000"][0]
    with pytest.raises(ValueError, match="no frame"):
        reader.read([Crop(ref, ref.frames, 8)])
    with pytest.raises(ValueError, match="no frame"):
        reader.read([Crop(ref, -1, 8)])


@given(frames=st.integers(1, 200), length=st.integers(1, 64), epoch=st.integers(0, 9))
def test_random_crops_stay_inside_and_repeat(frames: int, length: int, epoch: int) -> None:
    clip = ClipRef("a", 0, 0, 0, frames)
    crop = random_crop([clip], length, seed=1, epoch=epoch)
    assert 0 <= crop.start <= max(0, frames - length)
    assert crop == random_crop([clip], length, seed=1, epoch=epoch)


def test_random_crops_reach_every_start_and_segment() -> None:
    clips = [ClipRef("a", segment, 0, 0, 12) for segment in range(2)]
    drawn = [random_crop(clips, 8, seed=0, epoch=epoch, number=n) for epoch in range(100) for n in range(2)]
    assert {(crop.clip.segment, crop.start) for crop in drawn} == {(s, n) for s in range(2) for n in range(5)}
    assert [c.start for c in drawn[::2]] != [c.start for c in drawn[1::2]]


@given(frames=st.integers(1, 300), length=st.integers(1, 100))
def test_covering_crops_hear_every_frame_to_the_last(frames: int, length: int) -> None:
    crops = covering_crops(ClipRef("a", 0, 0, 0, frames), length)
    heard = {frame for crop in crops for frame in range(crop.start, min(frames, crop.start + crop.frames))}
    assert heard == set(range(frames))
    assert len(crops) == -(-frames // length)
    assert frames < length or all(crop.start + length <= frames for crop in crops)


@given(st.integers(1, 3000), st.integers(2, 400), st.sampled_from([0.25, 0.5, 0.75]))
def test_covering_crops_may_overlap_by_a_part_of_a_crop(frames: int, length: int, overlap: float) -> None:
    starts = [crop.start for crop in covering_crops(ClipRef("a", 0, 0, 0, frames), length, overlap=overlap)]
    step = max(1, round(length * (1 - overlap)))
    assert starts[0] == 0 and starts == sorted(set(starts))
    assert starts[-1] == max(0, frames - length)
    assert all(after - before == step for before, after in itertools.pairwise(starts[:-1]))
    assert len(starts) == 1 or 0 < starts[-1] - starts[-2] <= step


@given(frames=st.integers(1, 300), length=st.integers(1, 100))
def test_the_centre_crop_leaves_as_much_on_both_sides(frames: int, length: int) -> None:
    crop = centre_crop([ClipRef("a", 0, 0, 0, frames)], length)
    left, right = crop.start, frames - crop.start - length
    assert (left, right - left) in {(left, 0), (left, 1)} if frames >= length else left == 0


def _copy(dataset: Path, to: Path) -> Path:
    here, there = Store(str(dataset)), Store(str(to))
    for info in here.list():
        there.write_bytes(info.path, here.read_bytes(info.path))
    return to


def test_only_listed_shards_are_opened(dataset: Path, tmp_path: Path) -> None:
    copy = _copy(dataset, tmp_path / "copy")
    (copy / "features/ttmr/ttmr-00009-of-00010.parquet").write_bytes(b"left over from another build")
    assert len(Dataset(str(copy)).reader("ttmr")) == len(Dataset(str(dataset)).reader("ttmr"))


@pytest.mark.parametrize("change", ["cut", "grown", "gone"])
def test_a_shard_that_is_not_the_listed_one_is_named(dataset: Path, tmp_path: Path, change: str) -> None:
    copy = _copy(dataset, tmp_path / "copy")
    shard = copy / "features/ttmr/ttmr-00001-of-00003.parquet"
    content = shard.read_bytes()
    shard.unlink()
    if change != "gone":
        shard.write_bytes(content[:-100] if change == "cut" else content + b"\0")
    with pytest.raises(DataError, match=r"ttmr-00001-of-00003\.parquet: .*run tracklore build"):
        Dataset(str(copy)).reader("ttmr")


def test_shards_of_two_shapes_are_refused(
    make_dataset: Callable[..., Store], tracks: list[dict[str, Any]], tmp_path: Path
) -> None:
    clips = {"t000": [np.zeros((8, 16), np.float16)], "t001": [np.zeros((8, 16), np.float16)]}
    store = make_dataset(str(tmp_path / "d"), tracks, clips, shards=1)
    from schemas.receipt import FileEntry
    from schemas.shards import Clip, FeatureSpec, writing_shard

    with writing_shard(store, "features/other.parquet", FeatureSpec("ttmr", "float32", (-1, 4), {}), {}) as writer:
        writer.append(Clip("x", 0, 0.0, np.zeros((3, 4), np.float32)))
    shards = dict(Dataset(store.root).shards("ttmr"))
    size = store.size("features/other.parquet") or 0
    shards["features/other.parquet"] = FileEntry(sha256="0" * 64, bytes=size, rows=1)
    with pytest.raises(DataError, match="its tensors are not those of"):
        ClipReader(store, shards)
