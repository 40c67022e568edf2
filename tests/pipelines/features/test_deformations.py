"""Deformations are what they say, the same every time, and of the test split only where that is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.features.base import feature_of
from pipelines.features.deformations.base import DeformSection, deformation_kinds, deformation_of
from pipelines.features.media import MediaRef
from schemas.errors import UsageError
from schemas.manifest import FeatureSection
from schemas.shards import Clip
from schemas.store import Store

Command = Callable[..., Any]
Floats = npt.NDArray[np.float32]
RATE = 16_000
# The thesis' eight.
PUBLISHED: list[dict[str, Any]] = [
    {"kind": "pitch_shift", "semitones": -1},
    {"kind": "pitch_shift", "semitones": 1},
    {"kind": "time_stretch", "rate": 2**-0.5},
    {"kind": "time_stretch", "rate": 2**0.5},
    {"kind": "dynamic_range_compression", "profile": "speech"},
    {"kind": "dynamic_range_compression", "profile": "music_standard"},
    {"kind": "white_noise", "alpha": 0.1},
    {"kind": "white_noise", "alpha": 0.4},
]


def sine(seconds: float, hertz: float = 440.0, level: float = 0.5) -> Floats:
    t = np.arange(int(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def deformed(samples: Floats, **settings: Any) -> Floats:
    made = deformation_of(DeformSection.model_validate(settings), "deform")
    return made.apply(samples, RATE, made.draws("a"))


def clips(
    folder: Path, samples: Floats, deform: dict[str, Any] | None, track: str = "a", **keys: Any
) -> list[Clip]:
    soundfile.write(folder / "a.wav", samples, RATE, subtype="FLOAT")
    section = {"kind": "waveform", "deform": deform, "segments": {"span_s": 6}, **keys}
    made = feature_of("w", FeatureSection.model_validate(section), "test")
    made.prepare()
    return made.clips(Store(str(folder)), MediaRef(track, "a.wav"))


def loudest(samples: npt.NDArray[Any]) -> float:
    """The frequency, Hz, of the highest peak, between bins by a parabola."""
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) + 1e-12)
    top = int(spectrum.argmax())
    left, middle, right = spectrum[top - 1 : top + 2]
    return float((top + 0.5 * (left - right) / (left - 2 * middle + right)) * RATE / len(samples))


@pytest.mark.parametrize("semitones", [-7, -1, 1, 2.5])
def test_pitch_moves_by_semitones_and_length_stays(semitones: float) -> None:
    out = deformed(sine(4), kind="pitch_shift", semitones=semitones)
    assert len(out) == 4 * RATE
    assert loudest(out[RATE : 3 * RATE]) == pytest.approx(440 * 2 ** (semitones / 12), rel=2e-3)


@pytest.mark.parametrize("rate", [2**-0.5, 2**0.5])
def test_time_is_stretched_by_the_rate_and_pitch_stays(rate: float) -> None:
    clicks = np.zeros(8 * RATE, np.float32)
    clicks[RATE * np.array([2, 4, 6])] = 1
    out = deformed(clicks, kind="time_stretch", rate=rate)
    assert len(out) == pytest.approx(8 * RATE / rate, abs=1)
    for second in (2, 4, 6):
        around = np.abs(out[int((second - 0.5) / rate * RATE) : int((second + 0.5) / rate * RATE)])
        found = (np.arange(len(around)) * around**2).sum() / (around**2).sum() + int((second - 0.5) / rate * RATE)
        assert found / RATE == pytest.approx(second / rate, abs=0.05)
    assert loudest(deformed(sine(4), kind="time_stretch", rate=rate)) == pytest.approx(440, rel=2e-3)


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_stretched_clip_is_as_long_and_says_where_it_starts_in_the_file(tmp_path: Path, rate: float) -> None:
    found = clips(tmp_path, sine(20), {"kind": "time_stretch", "rate": rate})
    assert [len(clip.data) for clip in found] == [6 * RATE]
    assert found[0].start_s == (20 - 6 * rate) / 2
    three = clips(
        tmp_path, sine(20), {"kind": "time_stretch", "rate": rate}, segments={"span_s": 6, "segment_s": 2}
    )
    assert [clip.start_s for clip in three] == pytest.approx([(20 - 6 * rate) / 2 + 2 * rate * n for n in range(3)])


@pytest.mark.parametrize("alpha", [0.1, 0.4])
def test_noise_is_mixed_by_the_published_formula(alpha: float) -> None:
    music = sine(3, level=0.2)
    out = deformed(music, kind="white_noise", alpha=alpha)
    noise = (out - (1 - alpha) * music / np.abs(music).max()) / alpha
    assert np.abs(noise).max() == pytest.approx(1, abs=1e-4)
    assert abs(noise.mean()) < 0.01
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    parts = [part.mean() for part in np.array_split(spectrum, 8)]
    assert max(parts) < 1.1 * min(parts)  # white


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_has_the_ratio_that_is_asked(snr: float) -> None:
    music = sine(3)
    noise = deformed(music, kind="white_noise", snr_db=snr).astype(np.float64) - music
    assert 10 * np.log10(np.mean(music.astype(np.float64) ** 2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.01)


@pytest.mark.parametrize(
    ("profile", "before", "after"),
    [
        ("speech", -50, -35), ("speech", -31, -31), ("speech", -70, -55), ("speech", 0, -20),
        ("music_standard", -55, -43), ("music_standard", -25, -25), ("music_standard", -10.5, -20.5),
    ],
)  # fmt: skip
def test_a_steady_level_comes_out_as_the_curve_says(profile: str, before: float, after: float) -> None:
    # A square wave's level is its height.
    square = (10 ** (before / 20) * np.sign(sine(6, 200.3) + 1e-9)).astype(np.float32)
    out = deformed(square, kind="dynamic_range_compression", profile=profile)
    assert len(out) == len(square)
    assert 20 * np.log10(np.abs(out[4 * RATE :]).mean()) == pytest.approx(after, abs=0.05)


def test_the_gain_falls_before_what_is_loud() -> None:
    quiet, loud = sine(3, level=0.01), sine(3, level=0.9)
    both = np.concatenate([quiet, loud])
    out = deformed(both, kind="dynamic_range_compression", profile="speech")
    steady = np.abs(out[2 * RATE : int(2.8 * RATE)]).max()
    assert np.abs(out[int(2.97 * RATE) : 3 * RATE]).max() < 0.7 * steady


@pytest.mark.parametrize("deform", PUBLISHED, ids=lambda deform: "-".join(map(str, deform.values())))
def test_it_is_the_same_every_time_and_another_for_another_track_where_it_draws(
    tmp_path: Path, deform: dict[str, Any]
) -> None:
    music = np.concatenate([sine(5), sine(5, 660)])
    one, again = clips(tmp_path, music, deform)[0].data, clips(tmp_path, music, deform)[0].data
    assert np.array_equal(one, again)
    assert np.isfinite(one).all() and len(one) == 6 * RATE
    assert not np.array_equal(one, clips(tmp_path, music, None)[0].data)
    drawn = deform["kind"] == "white_noise"
    assert np.array_equal(one, clips(tmp_path, music, deform, track="b")[0].data) is not drawn
    assert np.array_equal(one, clips(tmp_path, music, {**deform, "seed": 1})[0].data) is not drawn


def test_every_kind_is_among_the_published() -> None:
    assert set(deformation_kinds()) == {deform["kind"] for deform in PUBLISHED}


@pytest.mark.parametrize(
    ("deform", "said"),
    [
        ({"kind": "pitchshift"}, r"features\.w\.deform\.kind.*pitch_shift"),
        ({"kind": "pitch_shift"}, r"features\.w\.deform\.semitones.*required"),
        ({"kind": "pitch_shift", "semitone": 1, "semitones": 1}, r"features\.w\.deform\.semitone: unknown"),
        ({"kind": "white_noise"}, r"features\.w\.deform.*alpha or snr_db"),
        ({"kind": "dynamic_range_compression", "profile": "loud"}, r"features\.w\.deform\.profile"),
    ],
)
def test_what_cannot_be_is_named_by_its_key(deform: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        feature_of("w", FeatureSection.model_validate({"kind": "waveform", "deform": deform}), "test")


def test_a_robustness_set_is_of_the_test_split_and_says_what_was_done(
    tmp_path: Path, command: Command, small: Sequence[str]
) -> None:
    features = (
        "{noisy: {kind: log_mel, preset: musicnn, segments: {span_s: 5}, splits: [test],"
        " deform: {kind: white_noise, alpha: 0.4}}}"
    )
    out = tmp_path / "out"
    ran = command("build", "demo", "--out", out, *small, "--set", f"features={features}")
    assert ran.code == 0, ran.err
    rows = pq.read_table(out / "splits.parquet").to_pylist()
    test = {row["track_id"] for row in rows if row["scheme"] == "default" and row["split"] == "test"}
    found, metas = set(), []
    for path in sorted((out / "features/noisy").iterdir()):
        file = pq.ParquetFile(path)
        metas.append(file.schema_arrow.field("data").metadata[b"spec"])
        found |= set(file.read(columns=["track_id"]).column(0).to_pylist())
    excluded = {
        row["id"]
        for row in pq.read_table(out / "exclusions.parquet").to_pylist()
        if row["stage"] == "features.noisy"
    }
    assert found and found | excluded == test
    assert all(b'"deform":{"alpha":0.4,"kind":"white_noise"' in meta for meta in metas)
