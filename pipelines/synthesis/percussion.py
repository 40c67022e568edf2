"""Drums: strokes made once, and the patterns that play them on a grid of sixteenths."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from pipelines.synthesis.score import SAMPLE_RATE

Samples = NDArray[np.float32]


def _time(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _noise(seconds: float, decay: float, low: float, high: float, seed: int) -> NDArray[np.float64]:
    """Return noise between `low` and `high` Hz that falls by a neper in `decay` seconds."""
    t = _time(seconds)
    band = butter(2, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos")
    noise = sosfilt(band, np.random.default_rng(seed).standard_normal(len(t)))
    shaped: NDArray[np.float64] = noise / np.abs(noise).max() * np.exp(-t / decay)
    return shaped


def _drop(seconds: float, start: float, end: float, fall: float, decay: float) -> NDArray[np.float64]:
    """Return a sine that falls from `start` to `end` Hz: a struck membrane."""
    t = _time(seconds)
    phase = end * t + (start - end) * fall * (1 - np.exp(-t / fall))
    wave: NDArray[np.float64] = np.sin(2 * np.pi * phase) * np.exp(-t / decay) * np.minimum(t / 0.002, 1)
    return wave


def _ring(seconds: float, hz: tuple[float, ...], decay: float) -> NDArray[np.float64]:
    t = _time(seconds)
    wave: NDArray[np.float64] = np.sum([np.sin(2 * np.pi * f * t) for f in hz], axis=0)
    return wave / len(hz) * np.exp(-t / decay)


def _clap() -> NDArray[np.float64]:
    out = _noise(0.25, 0.07, 900, 3500, 21)
    t = _time(0.25)
    return out * np.where(t < 0.03, 0.4 + 0.6 * ((t * 100) % 1 < 0.45), 1.0)


def _gated() -> NDArray[np.float64]:
    """A snare whose room is cut off: loud noise for a fifth of a second, then nothing."""
    t = _time(0.26)
    gate = np.where(t < 0.22, 1.0, np.maximum(0.0, 1 - (t - 0.22) / 0.03))
    return (_noise(0.26, 0.4, 400, 6000, 22) + 0.5 * _drop(0.26, 260, 180, 0.02, 0.08)) * gate


DRUMS: dict[str, Callable[[], NDArray[np.float64]]] = {
    "kick": lambda: _drop(0.3, 160, 48, 0.03, 0.11),
    "deep kick": lambda: _drop(0.45, 190, 42, 0.035, 0.2),
    "hard kick": lambda: _drop(0.18, 420, 62, 0.016, 0.06) + 0.35 * _noise(0.18, 0.006, 2000, 7000, 23),
    "snare": lambda: _noise(0.22, 0.06, 900, 7500, 24) + 0.6 * _drop(0.22, 280, 185, 0.02, 0.06),
    "gated snare": _gated,
    "brush": lambda: _noise(0.2, 0.07, 2500, 7500, 25) * np.minimum(_time(0.2) / 0.03, 1),
    "clap": _clap,
    "hat": lambda: _noise(0.07, 0.018, 6000, 10500, 26),
    "open hat": lambda: _noise(0.3, 0.1, 5500, 10500, 27),
    "ride": lambda: 0.6 * _noise(0.5, 0.16, 5000, 10000, 28) + 0.4 * _ring(0.5, (3170.0, 4410.0, 5230.0), 0.2),
    "crash": lambda: _noise(1.2, 0.4, 2500, 10000, 29),
    "cowbell": lambda: _ring(0.25, (562.0, 845.0, 1690.0), 0.07) * 1.3,
    "low conga": lambda: _drop(0.35, 235, 165, 0.03, 0.12),
    "high conga": lambda: _drop(0.3, 400, 300, 0.02, 0.07) + 0.15 * _noise(0.3, 0.01, 1500, 5000, 30),
    "tambourine": lambda: 0.7 * _noise(0.16, 0.05, 6500, 10500, 33) + 0.3 * _ring(0.16, (6900.0, 7900.0), 0.06),
    "shaker": lambda: _noise(0.1, 0.04, 4500, 9500, 31) * np.minimum(_time(0.1) / 0.02, 1),
    "chip kick": lambda: np.sign(_drop(0.14, 300, 60, 0.03, 0.5)) * np.exp(-_time(0.14) / 0.05),
    "chip snare": lambda: np.repeat(_noise(0.13, 0.05, 600, 9000, 32)[::4], 4)[: round(0.13 * SAMPLE_RATE)],
}
"""Drum: the function that makes its stroke."""


@lru_cache(maxsize=64)
def stroke(drum: str) -> Samples:
    """Return a drum's stroke, float32, peak 1, starting and ending without a click.

    Raises:
        KeyError: an unknown drum.
    """
    wave = DRUMS[drum]()
    fade = min(len(wave), 220)
    wave[-fade:] *= np.linspace(1, 0, fade)
    out: Samples = (wave / np.abs(wave).max()).astype(np.float32)
    out.flags.writeable = False
    return out


Pattern = tuple[tuple[str, str, float], ...]

# A line is a bar of sixteenths: x a stroke, o a soft one, - a rest; 12 steps are a bar of three quarters.
PATTERNS: dict[str, Pattern] = {
    "four on the floor": (
        ("deep kick", "x---x---x---x---", 1.0),
        ("clap", "----x-------x---", 0.5),
        ("open hat", "--x---x---x---x-", 0.45),
        ("hat", "xoxoxoxoxoxoxoxo", 0.22),
    ),
    "machine": (
        ("deep kick", "x-----x---x-----", 0.9),
        ("gated snare", "----x-------x---", 0.75),
        ("cowbell", "x--x--x---x-x---", 0.35),
        ("hat", "x-x-x-x-x-x-x-x-", 0.3),
    ),
    "rock": (
        ("kick", "x-----x-x-x-----", 0.9),
        ("snare", "----x-------x---", 0.7),
        ("hat", "x-x-x-x-x-x-x-x-", 0.35),
    ),
    "double kick": (
        ("hard kick", "xxxxxxxxxxxxxxxx", 0.75),
        ("snare", "----x-------x---", 0.8),
        ("crash", "x---------------", 0.45),
        ("ride", "x---x---x---x---", 0.35),
    ),
    "doom": (
        ("hard kick", "x-------x-x-----", 0.95),
        ("snare", "--------x-------", 0.85),
        ("crash", "x-------x-------", 0.5),
    ),
    "ride": (
        ("ride", "x---x-x-x---x-x-", 0.55),
        ("hat", "----x-------x---", 0.4),
        ("kick", "o-------o-------", 0.5),
        ("snare", "------o-------o-", 0.3),
    ),
    "funk": (
        ("kick", "x--x------x--x--", 0.9),
        ("snare", "----x--o-o--x--o", 0.7),
        ("hat", "xxxxxxxxxxxxxxxx", 0.3),
        ("open hat", "--------------x-", 0.35),
    ),
    "boom bap": (
        ("deep kick", "x------x--x-----", 1.0),
        ("snare", "----x-------x---", 0.8),
        ("hat", "x-x-x-x-x-x-x-x-", 0.3),
    ),
    "breakbeat": (
        ("kick", "x---------x-----", 0.95),
        ("snare", "----x--o-o--x--o", 0.85),
        ("ride", "x-x-x-x-x-x-x-x-", 0.4),
        ("hat", "-o-o-o-o-o-o-o-o", 0.3),
    ),
    "brushes in three": (
        ("kick", "x-----------", 0.6),
        ("brush", "----x---x---", 0.5),
    ),
    "chip": (
        ("chip kick", "x---x---x---x---", 0.6),
        ("chip snare", "----x-------x-x-", 0.5),
        ("hat", "x-xxx-xxx-xxx-xx", 0.25),
    ),
    "hands": (
        ("low conga", "x-----x-x-----x-", 0.6),
        ("high conga", "---x------xx----", 0.5),
        ("shaker", "xoxoxoxoxoxoxoxo", 0.35),
    ),
    "hands in three": (
        ("low conga", "x-----------", 0.6),
        ("high conga", "----x---x-x-", 0.5),
        ("shaker", "xoxoxoxoxoxo", 0.35),
    ),
}
"""Pattern: (drum, strokes, level) lines."""

TAMBOURINE: Pattern = (("tambourine", "--x---x---x---x-", 0.5),)
"""What a lively piece adds to its pattern."""
