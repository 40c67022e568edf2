"""Log-mel: against librosa, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from pipelines.features.base import Feature, feature_of
from pipelines.features.decode import ExcludedError
from pipelines.features.log_mel import LogMel
from pipelines.features.media import MediaRef
from schemas.errors import UsageError
from schemas.manifest import FeatureSection
from schemas.reasons import Reason
from schemas.store import Store


def feature(**settings: Any) -> Feature:
    return feature_of("ttmr", FeatureSection.model_validate({"kind": "log_mel", **settings}), "test")


def sound(seconds: float, rate: int = 16_000) -> npt.NDArray[np.float32]:
    t = np.arange(int(seconds * rate)) / rate
    draws = np.random.default_rng(1)
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.05 * draws.standard_normal(len(t))).astype(np.float32)


def test_ttmr_is_librosas_htk_mel_of_the_power_spectrum_in_decibels() -> None:
    samples = sound(4)
    mel = feature()
    assert isinstance(mel, LogMel)
    mel.prepare()
    ours = mel.log_mel(samples)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=1024, hop_length=160, n_mels=128, power=2.0, htk=True, norm=None, center=True,
        pad_mode="reflect",
    )  # fmt: skip
    expected = 10 * np.log10(np.maximum(power, 1e-10)).T
    assert ours.shape == expected.shape == (1 + len(samples) // 160, 128)
    # Half of float16's step at the value's size, and what two FFTs differ by.
    allowed = np.spacing(np.abs(expected).astype(np.float16)).astype(np.float64) / 2 + 2e-3
    assert (np.abs(ours.astype(np.float64) - expected) <= allowed).all()


def test_silence_takes_the_floor() -> None:
    mel = feature()
    assert isinstance(mel, LogMel)
    assert np.array_equal(mel.log_mel(np.zeros(16_000, np.float32)), np.full((101, 128), -100, np.float16))


def test_a_clip_says_where_it_starts_and_the_spec_what_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sound(40), 16_000)
    mel = feature()
    clip = mel.clips(Store(str(tmp_path)), MediaRef("a", "a.flac"))[0]
    assert (clip.track_id, clip.segment, clip.start_s) == ("a", 0, 5.0)
    assert clip.data.shape == (3001, 128) and clip.data.dtype == np.float16
    spec = mel.spec()
    assert spec.shape == (-1, 128) and spec.dtype == "float16"
    for key, value in {
        "rate": 16_000,
        "n_fft": 1024,
        "hop": 160,
        "mels": 128,
        "unit": "dB",
        "clip_s": 30.0,
    }.items():
        assert spec.settings[key] == value


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


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UsageError, match=r"features\.ttmr\.preset.*ttmr"):
        feature(preset="ttmrr")
