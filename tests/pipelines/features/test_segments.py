"""Segmentation: which seconds become clips, exact to the sample, decoded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features import decode as decoding
from pipelines.features.base import feature_of
from pipelines.features.decode import ExcludedError
from pipelines.features.media import MediaRef
from pipelines.features.presets import PRESETS
from pipelines.features.segments import SLACK_S, Segments
from schemas.errors import UsageError
from schemas.manifest import FeatureSection
from schemas.reasons import Reason
from schemas.shards import Clip
from schemas.store import Store

MULAP = Segments(position="start", span_s=20, count=6, segment_s=3)
VCMR = Segments(span_s=120, count=8, segment_s=15)


def starts(segments: Segments, duration_s: float) -> list[float]:
    return [start for start, _ in segments.places(duration_s)]


def test_the_published_segmentations_lie_where_the_papers_say() -> None:
    assert starts(MULAP, 200) == [0, 3, 6, 9, 12, 15]
    assert starts(VCMR, 300) == [90, 105, 120, 135, 150, 165, 180, 195]
    assert Segments(span_s=30).places(200) == [(85, 30)]
    assert Segments().places(217.3) == [(0, 217.3)]


def test_a_short_track_has_fewer_segments_around_its_middle_and_one_that_fills_none_has_none() -> None:
    assert starts(VCMR, 100) == [5, 20, 35, 50, 65, 80]
    assert starts(VCMR, 14.9) == []
    assert starts(MULAP, 10) == [0, 3, 6]
    assert Segments(span_s=30).places(12) == [(0, 12)]


@given(
    st.sampled_from(["start", "centre"]),
    st.floats(1, 200) | st.none(),
    st.integers(1, 20) | st.none(),
    st.floats(0.5, 20),
    st.floats(0, 400),
    st.sampled_from([8_000, 16_000, 22_050]),
)
def test_segments_are_whole_disjoint_and_inside_and_seconds_agree_with_samples(
    position: Any, span: float | None, count: int | None, length: float, duration: float, rate: int
) -> None:
    if span is not None and (count or 1) * length > span:
        return
    segments = Segments(position=position, span_s=span, count=count, segment_s=length)
    total = round(duration * rate)
    cut, places = segments.cut(total, rate), segments.places(total / rate)
    slack = int(SLACK_S * rate) + 1
    for (first, size), (next_first, _) in zip(cut, [*cut[1:], (total + slack, 0)], strict=False):
        assert size == round(length * rate) and first >= 0 and first + size <= next_first
    assert count is None or len(cut) <= count
    assert bool(cut) or total < round(length * rate)
    if span is not None and cut:
        assert cut[-1][0] + cut[-1][1] - cut[0][0] <= (span + SLACK_S) * rate + len(cut)
    # Rounding a length to samples may decide whether a last segment fits that fits to the hair.
    if len(cut) == len(places):
        drift = len(cut) + 2
        for (first, _), (start, _) in zip(cut, places, strict=True):
            assert abs(first - start * rate) <= drift


def waveform(folder: Path, name: str, **settings: Any) -> list[Clip]:
    section = FeatureSection.model_validate({"kind": "waveform", **settings})
    made = feature_of("w", section, "test")
    made.prepare()
    clips = made.clips(Store(str(folder)), MediaRef("a", name))
    assert all(clip.data.dtype == np.int16 == np.dtype(made.spec().dtype) for clip in clips)
    return clips


def ramp(seconds: float, rate: int) -> npt.NDArray[np.float32]:
    """Each sample tells its place."""
    return (np.arange(int(seconds * rate)) % 30_000 / 32_767).astype(np.float32)


def test_a_segment_is_a_row_that_starts_at_the_sample_it_names(tmp_path: Path) -> None:
    samples = ramp(200, 16_000)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    clips = waveform(tmp_path, "a.wav")
    assert [(clip.segment, clip.start_s) for clip in clips] == [(n, 40 + 15.0 * n) for n in range(8)]
    for clip in clips:
        first = round(clip.start_s * 16_000)
        assert np.array_equal(clip.data, np.rint(samples[first : first + 240_000] * 32_767))


def test_several_segments_cost_one_decode_of_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", ramp(200, 8_000), 8_000)
    asked = []
    real = decoding.decode

    def counted(store: Store, path: str, window: decoding.Window, rate: int) -> Any:
        asked.append(window)
        return real(store, path, window, rate)

    monkeypatch.setattr(decoding, "decode", counted)
    clips = waveform(tmp_path, "a.wav", segments={"position": "start", "span_s": 20, "count": 6, "segment_s": 3})
    assert [clip.start_s for clip in clips] == [0, 3, 6, 9, 12, 15]
    assert [(window.seconds, window.position) for window in asked] == [(18, "start")]


@pytest.mark.parametrize("rate", [11_025, 44_100, 48_000])
@pytest.mark.parametrize("samples", [49_152, 59_049, 78_732, 98_415])
def test_a_length_that_resampling_rounds_is_filled(tmp_path: Path, rate: int, samples: int) -> None:
    soundfile.write(tmp_path / "a.wav", ramp(20, rate), rate)
    seconds = samples / 16_000
    clips = waveform(tmp_path, "a.wav", segments={"segment_s": seconds})
    assert len(clips) == int(20 // seconds)
    assert {clip.data.shape for clip in clips} == {(samples,)}


def test_a_track_that_fills_no_segment_is_too_short(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", ramp(10, 16_000), 16_000)
    with pytest.raises(ExcludedError, match="15 s") as raised:
        waveform(tmp_path, "a.wav")
    assert raised.value.reason is Reason.TOO_SHORT


def test_beyond_full_scale_is_clipped_and_not_wrapped(tmp_path: Path) -> None:
    loud = np.tile(np.array([1.7, -1.7, 1.0, -1.0], np.float32), 20_000)
    soundfile.write(tmp_path / "a.wav", loud, 16_000, subtype="FLOAT")
    clip = waveform(tmp_path, "a.wav", segments={}, max_clipped=1)[0]
    assert set(np.unique(clip.data).tolist()) == {-32_767, 32_767}


def test_the_command_lists_every_preset_with_its_source(command: Any) -> None:
    ran = command("presets")
    assert ran.code == 0
    for name, preset in PRESETS.items():
        assert f"{name}: {{kind: {preset.kind}, preset: {name}}}" in ran.out
        assert preset.source in ran.out
    assert {"ttmr", "ttmr_as_released", "mtt", "musicnn", "mulap", "short_chunk", "fcn", "fcn_12k", "jamendo",
            "melon", "waveform"} == set(PRESETS)  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"segments": {"segment_s": 0.01}},
            r"features\.x\.segments\.segment_s: 0\.01 s; a window alone",
        ),
        ({"segments": {"span_s": 2}}, r"features\.x\.min_s: 3 s are needed, and the segments read 2 s at most"),
        ({"min_s": float("inf")}, r"features\.x\.min_s: Input should be a finite number"),
        ({"silence_db": float("-inf")}, r"features\.x\.silence_db: Input should be a finite number"),
    ],
)
def test_settings_that_no_track_could_meet_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        feature_of("x", FeatureSection.model_validate({"kind": "log_mel", **settings}), "test")
