from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.synthesis import SAMPLE_RATE, Corpus, Score, compose

Signal = NDArray[np.float64]
HOP_S = 0.01


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return compose()


@pytest.fixture(scope="session")
def small() -> Corpus:
    return compose(artists=6, tracks=12, seed=3)


@pytest.fixture
def score() -> Score:
    """A plain piece from which each test changes what it is about."""
    return Score(
        genre="classical",
        bpm=100.0,
        beats_per_bar=4,
        root=48,
        mode="major",
        progression=(0, 3, 4, 0),
        lead="piano",
        comp="organ",
        comp_style="block",
        bass_style=None,
        pattern=None,
        register=0,
        density=0.5,
        swing=0.0,
        echo=0.0,
        tone=0.0,
        lofi=False,
        seconds=12.0,
        peak_db=-3.0,
        seed=5,
    )


@pytest.fixture(scope="session")
def flux() -> Callable[[NDArray[np.float32], float], Signal]:
    """The rise of log energy below a frequency, summed over bands, every `HOP_S`: high at a stroke."""

    def measure(sound: NDArray[np.float32], below_hz: float) -> Signal:
        hop = round(HOP_S * SAMPLE_RATE)
        frames = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), 1024)[::hop]
        magnitude = np.abs(np.fft.rfft(frames * np.hanning(1024), axis=1))
        magnitude = magnitude[:, 1 : round(below_hz / SAMPLE_RATE * 1024) + 1]
        width = max(1, magnitude.shape[1] // 32)
        magnitude = magnitude[:, : magnitude.shape[1] // width * width]
        bands = np.log(magnitude.reshape(len(frames), -1, width).mean(axis=2) + 1e-2)
        rise: Signal = np.maximum(np.diff(bands, axis=0), 0).sum(axis=1)
        return rise

    return measure


@pytest.fixture(scope="session")
def spectrum() -> Callable[[NDArray[np.float32]], tuple[Signal, Signal]]:
    """Frequencies in Hz and power of a whole sound."""

    def measure(sound: NDArray[np.float32]) -> tuple[Signal, Signal]:
        power: Signal = np.abs(np.fft.rfft(sound.astype(np.float64) * np.hanning(len(sound)))) ** 2
        hz = np.arange(len(power), dtype=np.float64) * (SAMPLE_RATE / len(sound))
        return hz, power

    return measure
