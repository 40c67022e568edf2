"""Log-mel: against librosa preset by preset, against the released code's formula, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from pipelines.features.base import feature_of
from pipelines.features.decode import ExcludedError
from pipelines.features.log_mel import LogMel
from pipelines.features.media import MediaRef
from pipelines.features.presets import presets_of
from schemas.errors import UsageError
from schemas.manifest import FeatureSection
from schemas.reasons import Reason
from schemas.store import Store

# As published: rate, n_fft, hop, bands, decibels of a decade of power, slaney.
PUBLISHED = {
    "ttmr": (16_000, 1024, 160, 128, 10, False),
    "mtt": (22_050, 1024, 512, 128, 10, False),
    "musicnn": (16_000, 512, 256, 96, 10, False),
    "mulap": (16_000, 512, 256, 96, 10, False),
    "short_chunk": (16_000, 512, 256, 128, 10, False),
    "fcn": (16_000, 512, 256, 96, 10, False),
    "fcn_12k": (12_000, 512, 256, 96, 10, False),
    "jamendo": (12_000, 512, 256, 96, 20, True),
    "melon": (16_000, 512, 256, 48, 10, True),
}


def feature(**settings: Any) -> LogMel:
    made = feature_of("ttmr", FeatureSection.model_validate({"kind": "log_mel", **settings}), "test")
    assert isinstance(made, LogMel)
    made.prepare()
    return made


def in_float32(preset: str) -> LogMel:
    """The preset, stored as float32."""
    mel = presets_of("log_mel")[preset].mel
    assert mel is not None
    return feature(preset="custom", mel={**mel.model_dump(), "dtype": "float32"})


def sound(seconds: float, rate: int = 16_000) -> npt.NDArray[np.float32]:
    t = np.arange(int(seconds * rate)) / rate
    draws = np.random.default_rng(1)
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.05 * draws.standard_normal(len(t))).astype(np.float32)


def music(rate: int) -> npt.NDArray[np.float32]:
    """Plucked chords with overtones and a noise of strokes, with rests between."""
    draws = np.random.default_rng(2)
    t = np.arange(4 * rate) / rate
    y = 1e-3 * draws.standard_normal(len(t))
    for beat, root in enumerate((220.0, 261.6, 196.0, 329.6, 246.9, 174.6, 293.7, 220.0)):
        since = t - beat / 2
        envelope = np.where(since >= 0, np.exp(-6 * np.maximum(since, 0)), 0)
        for overtone in (1, 1.5, 2, 3, 4, 6, 9):
            y += 0.2 / overtone * envelope * np.sin(2 * np.pi * root * overtone * since)
        y += 0.1 * np.exp(-60 * np.abs(since)) * draws.standard_normal(len(t))
    loudest: float = np.abs(y).max()
    return np.asarray(y / loudest, np.float32)


SIGNALS = {
    "noise": lambda rate: (0.2 * np.random.default_rng(3).standard_normal(4 * rate)).astype(np.float32),
    "sine and noise": lambda rate: sound(4, rate),
    "music": music,
}


def by_librosa(preset: str, samples: npt.NDArray[Any], top_db: float | None = None) -> npt.NDArray[Any]:
    """In the precision of the samples."""
    rate, n_fft, hop, mels, decade, slaney = PUBLISHED[preset]
    power = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=n_fft, hop_length=hop, n_mels=mels, power=2.0, htk=not slaney,
        norm="slaney" if slaney else None, center=True,
        pad_mode="constant" if preset == "jamendo" else "reflect", dtype=samples.dtype,
    )  # fmt: skip
    decibels = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=top_db).T
    return np.asarray(decibels * (decade / 10))


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("preset", PUBLISHED)
def test_every_preset_is_librosas_within_a_thousandth_of_a_decibel(preset: str, signal: str) -> None:
    samples = SIGNALS[signal](PUBLISHED[preset][0])
    decade, top_db = PUBLISHED[preset][4], 80 if preset == "mulap" else None
    expected = by_librosa(preset, samples.astype(np.float64), top_db)
    ours = in_float32(preset).log_mel(samples)
    assert ours.shape == expected.shape
    error = np.abs(ours - expected)
    # A band with less than a millionth of its frame's power is at the limit of any float32 transform.
    whole = decade * np.log10((10 ** (expected / decade)).sum(axis=1, keepdims=True))
    loud = expected > whole - 6 * decade
    assert loud.mean() > 0.6
    # torchaudio's own triangles, which ttmr keeps, are off by 1e-5 of their height: so is their foot.
    assert error[loud].max() < (3e-3 if preset == "ttmr" else 1e-3)
    of_float32 = np.abs(by_librosa(preset, samples, top_db) - expected)
    assert np.quantile(error, 0.999) < max(3e-3, 2 * np.quantile(of_float32, 0.999))


@pytest.mark.parametrize("preset", PUBLISHED)
def test_float16_adds_half_a_step_at_most(preset: str) -> None:
    samples = music(PUBLISHED[preset][0])
    exact, stored = in_float32(preset).log_mel(samples), feature(preset=preset).log_mel(samples)
    assert stored.dtype == np.float16
    error, size = np.abs(stored.astype(np.float64) - exact), np.abs(exact)
    for below, limit in ((64, 0.016), (128, 0.032), (256, 0.063)):
        assert error[size < below].max(initial=0) <= limit


def test_ttmr_as_released_is_the_mel_of_the_squared_real_part() -> None:
    samples = music(16_000)
    spectrum = librosa.stft(samples.astype(np.float64), n_fft=1024, hop_length=160, pad_mode="reflect")
    real = spectrum.real
    bank = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=128, htk=True, norm=None, dtype=np.float64)
    power = (bank @ real**2).T
    ours = in_float32("ttmr_as_released").log_mel(samples)
    # Where the real part passes through zero, the least error of a float32 is any number of decibels.
    loud = power > 1e-6 * (bank @ np.square(np.abs(spectrum))).sum(axis=0)[:, None]
    assert loud.mean() > 0.6
    assert np.abs(ours - 10 * np.log10(np.maximum(power, 1e-10)))[loud].max() < 3e-3


def test_a_steady_sine_wavers_as_released_and_not_as_published() -> None:
    t = np.arange(32_000) / 16_000
    samples = np.sin(2 * np.pi * 1000.3 * t).astype(np.float32)
    wavers = {}
    for preset in ("ttmr", "ttmr_as_released"):
        mel = in_float32(preset).log_mel(samples)[20:-20]
        wavers[preset] = float(np.ptp(mel[:, mel.mean(axis=0).argmax()]))
    assert wavers["ttmr"] < 0.01
    assert wavers["ttmr_as_released"] > 5


@pytest.mark.parametrize(
    ("preset", "seconds", "frames"),
    [("fcn", 29.1, 1819), ("fcn_12k", 29.12, 1366), ("melon", 30.0, 1876), ("ttmr", 30.0, 3001)],
)
def test_the_frames_of_a_clip_are_as_published(tmp_path: Path, preset: str, seconds: float, frames: int) -> None:
    soundfile.write(tmp_path / "a.wav", sound(40, 44_100), 44_100)
    clip = feature(preset=preset).clips(Store(str(tmp_path)), MediaRef("a", "a.wav"))[0]
    assert clip.data.shape[0] == frames
    assert clip.start_s == pytest.approx((40 - seconds) / 2, abs=1e-4)


def test_silence_takes_the_floor() -> None:
    assert np.array_equal(feature().log_mel(np.zeros(16_000, np.float32)), np.full((101, 128), -100, np.float16))


CUSTOM = {"rate": 22_050, "n_fft": 1024, "win_length": 800, "hop": 300, "mels": 40, "f_min": 60, "f_max": 7600}


@pytest.mark.parametrize("window", ["hann", "hamming", "blackman"])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("power", [1, 2])
def test_a_custom_front_end_is_librosas(window: str, centred: bool, power: int) -> None:
    samples = music(22_050)
    settings = {"window": window, "centred": centred, "power": power, "scale": "linear", "mel_scale": "slaney"}
    ours = feature(preset="custom", mel={**CUSTOM, **settings, "norm": "slaney", "dtype": "float32"}).log_mel(
        samples
    )
    expected = librosa.feature.melspectrogram(
        y=samples.astype(np.float64), sr=22_050, n_fft=1024, win_length=800, hop_length=300, window=window,
        center=centred, pad_mode="reflect", power=power, n_mels=40, fmin=60, fmax=7600, dtype=np.float64,
    ).T  # fmt: skip
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize(
    ("scale", "inverse"),
    [
        ({"scale": "ln", "floor": 1e-12}, np.exp),
        ({"scale": "log1p", "gain": 100}, lambda v: np.expm1(v) / 100),
        ({"scale": "db", "multiplier": 20, "ref": 4.0}, lambda v: 4 * 10 ** (v / 20)),
        ({"scale": "db", "mean": -30, "std": 20}, lambda v: 10 ** ((v * 20 - 30) / 10)),
    ],
)
def test_the_metadata_says_how_to_undo_the_scale(scale: dict[str, Any], inverse: Any) -> None:
    samples = sound(2, 22_050)
    plain = feature(preset="custom", mel={**CUSTOM, "scale": "linear", "dtype": "float32"}).log_mel(samples)
    scaled = feature(preset="custom", mel={**CUSTOM, **scale, "dtype": "float32"})
    assert scale.items() <= scaled.spec().settings.items()
    assert np.allclose(inverse(scaled.log_mel(samples).astype(np.float64)), plain, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    "scale",
    [
        {}, {"scale": "ln", "floor": 1e-5}, {"scale": "log1p"}, {"mean": -30.7, "std": 19.3},
        {"multiplier": 20, "ref": 3.7, "floor": 1e-7}, {"top_db": 80},
    ],
)  # fmt: skip
def test_the_metadata_states_the_least_value_and_bounds_the_greatest(scale: dict[str, Any], dtype: str) -> None:
    made = feature(preset="custom", mel={**CUSTOM, **scale, "dtype": dtype})
    low, high = made.spec().settings["range"]
    silence = made.log_mel(np.zeros(22_050, np.float32)).astype(np.float64)
    assert low <= silence.min() <= low + 2e-2 * max(1, abs(low))
    for loud in (np.ones(22_050), np.sign(sound(1, 22_050)), 32_768 * sound(1, 22_050)):
        values = made.log_mel(loud.astype(np.float32))
        assert low <= values.min() and values.max() <= high


def test_a_clip_says_where_it_starts_and_the_spec_what_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sound(40), 16_000)
    mel = feature()
    clip = mel.clips(Store(str(tmp_path)), MediaRef("a", "a.flac"))[0]
    assert (clip.track_id, clip.segment, clip.start_s) == ("a", 0, 5.0)
    assert clip.data.shape == (3001, 128) and clip.data.dtype == np.float16
    spec = mel.spec()
    assert spec.shape == (-1, 128) and spec.dtype == "float16"
    wanted = {
        "preset": "ttmr", "rate": 16_000, "n_fft": 1024, "win_length": 1024, "window": "hann", "hop": 160,
        "hop_s": 0.01, "mels": 128, "f_min": 0.0, "f_max": 8000.0, "mel_scale": "htk", "norm": "none", "power": 2.0,
        "scale": "db", "multiplier": 10.0, "ref": 1.0, "floor": 1e-10, "top_db": None, "mean": 0.0, "std": 1.0,
        "dtype": "float16", "centred": True, "padding": "reflect", "unit": "dB",
        "segments": {"position": "centre", "span_s": 30.0, "count": None, "segment_s": None},
    }  # fmt: skip
    assert wanted.items() <= spec.settings.items()


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (sound(1.5), Reason.TOO_SHORT),
        (np.zeros(16_000 * 5, np.float32), Reason.SILENT),
        (sound(5) * 1e-5, Reason.SILENT),
        (np.full(16_000 * 5, np.nan, np.float32), Reason.NOT_FINITE),
        (np.where(np.arange(80_000) == 40_000, np.inf, sound(5)).astype(np.float32), Reason.NOT_FINITE),
        (np.zeros(0, np.float32), Reason.TOO_SHORT),
    ],
)
def test_what_holds_no_music_is_excluded(tmp_path: Path, samples: npt.NDArray[np.float32], reason: Reason) -> None:
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(ExcludedError) as raised:
        feature().clips(Store(str(tmp_path)), MediaRef("a", "a.wav"))
    assert raised.value.reason is reason
    assert "a.wav" in raised.value.detail


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "ttmrr"}, r"features\.ttmr\.preset.*ttmr"),
        ({"preset": "waveform"}, r"features\.ttmr\.preset.*waveform"),
        ({"preset": "custom"}, r"features\.ttmr\.mel.*required"),
        ({"preset": "ttmr", "mel": CUSTOM}, r"features\.ttmr\.mel.*preset: custom"),
        ({"preset": "custom", "mel": {**CUSTOM, "hopp": 3}}, r"features\.ttmr\.mel\.hopp.*hop"),
        ({"preset": "custom", "mel": {**CUSTOM, "f_max": 12_000}}, r"features\.ttmr\.mel.*f_max"),
        ({"preset": "custom", "mel": {**CUSTOM, "win_length": 2048}}, r"features\.ttmr\.mel.*win_length"),
        ({"preset": "custom", "mel": {**CUSTOM, "scale": "linear"}}, r"features\.ttmr\.mel.*float32"),
        ({"segments": {"count": 3}}, r"features\.ttmr\.segments.*segment_s"),
        ({"segments": {"span_s": 10, "count": 3, "segment_s": 5}}, r"features\.ttmr\.segments.*span_s"),
    ],
)
def test_what_cannot_be_is_named_by_its_key(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        feature(**settings)
