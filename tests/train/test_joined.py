"""Features of one track read together: every value is the second that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DataError
from schemas.receipt import FileEntry
from schemas.shards import Clip, FeatureSpec, writing_shard
from schemas.store import Store
from train.data.joined import JoinedReader
from train.data.reader import Array, ClipReader

HOPS = {"mel": 0.01, "waveform": 1 / 1000, "clip": 1.0}
WIDTHS = {"mel": 4, "waveform": 1, "clip": 3}
# (track, start, seconds) of each segment.
SEGMENTS = [("a", 30.0, 15.0), ("a", 45.0, 15.0), ("b", 0.0, 15.0)]


def values(feature: str, start: float, seconds: float) -> Array:
    """Each frame holds the second of the file at which it begins."""
    times = start + np.arange(round(seconds / HOPS[feature])) * HOPS[feature]
    return np.repeat(times[:, None], WIDTHS[feature], axis=1).astype(np.float32)


def reader(root: Path, feature: str, segments: Sequence[tuple[str, float, float]], hop: bool = True) -> ClipReader:
    store, path = Store(str(root)), f"features/{feature}/x.parquet"
    spec = FeatureSpec(feature, "float32", (-1, WIDTHS[feature]), {"hop_s": HOPS[feature]} if hop else {})
    seen: dict[str, int] = {}
    with writing_shard(store, path, spec, {}) as writer:
        for track, start, seconds in segments:
            seen[track] = seen.get(track, -1) + 1
            writer.append(Clip(track, seen[track], start, values(feature, start, seconds)))
    entry = FileEntry(sha256=store.sha256(path), bytes=store.size(path) or 0, rows=len(segments))
    return ClipReader(store, {path: entry})


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> JoinedReader:
    root = tmp_path_factory.mktemp("joined")
    return JoinedReader({feature: reader(root, feature, SEGMENTS) for feature in HOPS})


def seconds_of(read: Mapping[str, Array], row: int) -> dict[str, float]:
    return {feature: float(array[row, 0, 0]) for feature, array in read.items()}


def test_a_crop_begins_at_the_same_second_in_every_feature(joined: JoinedReader) -> None:
    crops = [
        joined.random_crop(track, 6.0, seed=0, epoch=epoch, number=number)
        for track in ("a", "b")
        for epoch in range(20)
        for number in range(2)
    ]
    read = joined.read(crops)
    assert {feature: array.shape[1] for feature, array in read.items()} == {"mel": 600, "waveform": 6000, "clip": 6}
    for row, crop in enumerate(crops):
        assert seconds_of(read, row) == pytest.approx(dict.fromkeys(HOPS, crop.start_s), abs=1e-4)
        for feature, array in read.items():  # and lasts as long
            assert array[row, -1, 0] == pytest.approx(crop.start_s + 6.0 - HOPS[feature], abs=1e-4)


def test_crops_reach_every_second_of_every_segment_and_differ(joined: JoinedReader) -> None:
    drawn = [joined.random_crop("a", 5.0, seed=3, epoch=e, number=n).start_s for e in range(400) for n in range(2)]
    assert set(drawn) == {float(second) for first in (30, 45) for second in range(first, first + 11)}
    assert drawn[::2] != drawn[1::2]
    assert drawn[0] == joined.random_crop("a", 5.0, seed=3, epoch=0).start_s
    assert joined.centre_crop("b", 5.0).start_s == 5.0
    assert joined.centre_crop("a", 15.0).start_s == 45.0


def test_only_what_all_features_have_is_there(tmp_path: Path) -> None:
    whole = reader(tmp_path, "mel", [("a", 0.0, 60.0), ("b", 0.0, 60.0), ("c", 0.0, 60.0)])
    parts = reader(tmp_path, "clip", [("a", 10.0, 15.0), ("a", 40.0, 15.0), ("b", 58.0, 5.0)])
    found = JoinedReader({"mel": whole, "clip": parts}).spans
    assert {track: [(span.start_s, span.end_s) for span in spans] for track, spans in found.items()} == {
        "a": [(10.0, 25.0), (40.0, 55.0)],
        "b": [(58.0, 60.0)],
    }


def test_of_clips_that_overlap_whole_stretches_are_cropped(tmp_path: Path) -> None:
    segments = [("a", 1.5 * number, 3.0) for number in range(6)]
    fine = {"mel": reader(tmp_path, "mel", segments), "waveform": reader(tmp_path, "waveform", segments)}
    joined = JoinedReader(fine)
    assert [(span.start_s, span.end_s) for span in joined.spans["a"]] == [(s, s + 3.0) for _, s, _ in segments]
    starts = {joined.random_crop("a", 3.0, seed=0, epoch=epoch).start_s for epoch in range(60)}
    assert starts == {s for _, s, _ in segments}


def test_a_span_that_is_too_short_is_not_drawn_where_another_is_long_enough(tmp_path: Path) -> None:
    parts = [("a", 0.0, 2.0), ("a", 10.0, 15.0), ("a", 30.0, 3.0)]
    joined = JoinedReader({feature: reader(tmp_path, feature, parts) for feature in ("mel", "clip")})
    assert {joined.random_crop("a", 6.0, seed=0, epoch=epoch).span.start_s for epoch in range(50)} == {10.0}
    assert joined.centre_crop("a", 6.0).start_s == 14.0


def test_a_crop_longer_than_its_span_is_filled_at_its_end(tmp_path: Path) -> None:
    both = {feature: reader(tmp_path, feature, [("a", 2.0, 3.0)]) for feature in ("mel", "clip")}
    joined = JoinedReader(both)
    crop = joined.random_crop("a", 5.0, seed=0, epoch=0)
    read = joined.read([crop])
    assert crop.start_s == 2.0
    np.testing.assert_allclose(read["clip"][0, :, 0], [2, 3, 4, 2, 2])
    assert read["mel"].shape == (1, 500, 4)


@given(
    starts=st.lists(st.floats(0, 30), min_size=1, max_size=4, unique=True),
    cut=st.floats(0.5, 12),
    epoch=st.integers(0, 50),
)
def test_no_frame_is_off_by_more_than_half_a_frame_of_either(
    tmp_path_factory: pytest.TempPathFactory, starts: list[float], cut: float, epoch: int
) -> None:
    root = tmp_path_factory.mktemp("property")
    segments = [("a", start, 15.0) for start in sorted(starts)]
    # The same stretches, each feature's start rounded to its own clock as decoders do.
    readers = {f: reader(root, f, [(t, round(s / h) * h, d) for t, s, d in segments]) for f, h in
               {"mel": 0.01, "waveform": 0.001}.items()}  # fmt: skip
    joined = JoinedReader(readers)
    crop = joined.random_crop("a", cut, seed=0, epoch=epoch)
    got = seconds_of(joined.read([crop]), 0)
    assert abs(got["mel"] - got["waveform"]) <= (0.01 + 0.001) / 2 + 1e-4
    assert crop.span.start_s <= crop.start_s <= crop.span.end_s


def test_a_feature_that_does_not_say_its_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"feature 'mel' does not say how long a frame is \(hop_s\)"):
        JoinedReader({"mel": reader(tmp_path, "mel", SEGMENTS, hop=False)})


def test_samples_are_cropped_at_any_sample_and_filled_with_silence(tmp_path: Path) -> None:
    store, path = Store(str(tmp_path)), "features/waveform/x.parquet"
    spec = FeatureSpec("waveform", "int16", (-1,), {"hop_s": 1 / 16_000})
    samples = np.arange(1, 1001, dtype=np.int16)
    with writing_shard(store, path, spec, {}) as writer:
        writer.append(Clip("a", 0, 3.5, samples))
    entry = FileEntry(sha256=store.sha256(path), bytes=store.size(path) or 0, rows=1)
    joined = JoinedReader({"waveform": ClipReader(store, {path: entry})})
    drawn = [joined.random_crop("a", 990 / 16_000, seed=0, epoch=epoch) for epoch in range(300)]
    read = joined.read(drawn)["waveform"]
    assert {int(row[0]) for row in read} == set(range(1, 12)) and (np.diff(read, axis=1) == 1).all()
    longer = joined.read([joined.random_crop("a", 1010 / 16_000, seed=0, epoch=0)])["waveform"][0]
    assert np.array_equal(longer, np.r_[samples, np.zeros(10, np.int16)])


def test_a_crop_may_be_kept_to_one_stretch(joined: JoinedReader) -> None:
    for span in joined.spans["a"]:
        for epoch in range(20):
            crop = joined.random_crop("a", 5.0, seed=0, epoch=epoch, spans=[span])
            assert crop.span == span and span.start_s <= crop.start_s <= span.end_s - 5.0 + 1e-6
    ways = [[joined.random_crop("a", 5.0, seed=0, epoch=e, spans=[s]).start_s % 15 for e in range(20)]
            for s in joined.spans["a"]]  # fmt: skip
    assert ways[0] != ways[1]
