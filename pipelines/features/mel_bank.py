"""Triangular filters on the mel scale."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Slaney's Auditory Toolbox: linear to 1 kHz (200/3 Hz a mel), then 27 mels for a factor of 6.4.
_LINEAR_HZ = 200.0 / 3
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_STEP = np.log(6.4) / 27


def mel_bank(
    rate: int,
    n_fft: int,
    mels: int,
    f_min: float,
    f_max: float,
    scale: Literal["htk", "slaney"],
    *,
    unit_area: bool,
) -> Floats:
    """float64 (n_fft // 2 + 1, mels): how much each bin of the spectrum gives to each band.

    Args:
        unit_area: triangles of area 1 over Hz; else of height 1.
    """
    low, high = _mel(np.array([f_min, f_max]), scale)
    edges = _hertz(np.linspace(low, high, mels + 2), scale)
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank: Floats = np.maximum(0, np.minimum(rising, falling))
    return bank * (2 / (edges[2:] - edges[:-2])) if unit_area else bank


def _mel(hertz: npt.NDArray[Any], scale: str) -> Floats:
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hertz / 700), np.float64)
    above = _BREAK_MEL + np.log(np.maximum(hertz, _BREAK_HZ) / _BREAK_HZ) / _STEP
    return np.where(hertz < _BREAK_HZ, hertz / _LINEAR_HZ, above)


def _hertz(mel: Floats, scale: str) -> Floats:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1), np.float64)
    above = _BREAK_HZ * np.exp(_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, above)
