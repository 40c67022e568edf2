"""Higher or lower at the same tempo: stretched by overlapping segments that fit, then read faster or slower.

Segments are laid where they look most like what would have come next (WSOLA, Verhelst and Roelands 1993), with the
lengths that SoX uses for music.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from train.augmentations.base import Augmentation as Base
from train.augmentations.base import AugmentationSettings, one_of

_SEGMENT_S, _SEARCH_S, _OVERLAP_S = 0.082, 0.01468, 0.012
_ZEROS = 5  # of the sinc, on each side, that a sample between samples is made by


class Settings(AugmentationSettings):
    """The keys of kind: pitch."""

    kind: Literal["pitch"] = "pitch"
    probability: float = 0.6
    lowest_cents: int = Field(default=-700, ge=-2400, le=2400)
    highest_cents: int = Field(default=700, ge=-2400, le=2400)


class Augmentation(Base):
    """See the module."""

    NUMBERS = 1

    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        low, high = self.settings.lowest_cents, self.settings.highest_cents
        cents = low + one_of(numbers, high - low + 1)
        return shifted(waves, 2.0 ** (cents.double() / 1200), 2.0 ** (high / 1200), self.rate)


def shifted(waves: Tensor, ratios: Tensor, highest: float, rate: int) -> Tensor:
    """Multiply every frequency of row n by `ratios[n]`: (N, samples) and float64 (N, 1) to (N, samples).

    Args:
        highest: no ratio is above it.
    """
    samples, most = waves.shape[1], max(1.0, highest)
    longer = _stretched(waves, ratios, math.ceil(samples * most), rate)
    at = torch.arange(samples, device=waves.device) * ratios
    return _read(longer, at, (1 / ratios).clamp_max(1.0).float(), math.ceil(_ZEROS * most))


def _stretched(waves: Tensor, ratios: Tensor, samples: int, rate: int) -> Tensor:
    """The first samples of the sound `ratios` times as long, at its own pitch."""
    segment, search, overlap = (round(seconds * rate) for seconds in (_SEGMENT_S, _SEARCH_S, _OVERLAP_S))
    step = segment - overlap
    back = search // 2
    held = F.pad(waves, (back, segment + search + step))
    last = held.shape[1] - segment - search
    span = torch.arange(segment + search, device=waves.device)
    rise = (torch.arange(overlap, device=waves.device) + 0.5) / overlap
    laid = held[:, back : back + segment]
    made = []
    for number in range(1, math.ceil(samples / step) + 1):
        made.append(laid[:, :step])
        coming = laid[:, step:]
        start = (number * step / ratios).round().long().clamp_max(last)
        near = held.gather(1, start + span)
        # What differs least from what would have come next.
        fit = _fit(near[:, : search + overlap - 1], coming)
        laid = near.gather(1, fit.argmax(1, keepdim=True) + span[:segment])
        laid = torch.cat([coming * (1 - rise) + laid[:, :overlap] * rise, laid[:, overlap:]], 1)
    return torch.cat(made, 1)[:, :samples]


def _fit(sound: Tensor, wanted: Tensor) -> Tensor:
    """How well each part of a sound is what was wanted, by squares: (N, n + k - 1) and (N, k) to (N, n)."""
    overlap, size = wanted.shape[1], sound.shape[1] + wanted.shape[1]
    product = torch.fft.irfft(torch.fft.rfft(sound, size) * torch.fft.rfft(wanted, size).conj(), size)
    energy = F.pad((sound * sound).cumsum(1), (1, 0))
    count = sound.shape[1] - overlap + 1
    fit: Tensor = 2 * product[:, :count] - (energy[:, overlap:] - energy[:, :count])
    return fit


def _read(waves: Tensor, at: Tensor, band: Tensor, reach: int) -> Tensor:
    """The sound between its samples, by a windowed sinc: places float64 (N, n) to (N, n).

    Args:
        band: what is kept of all frequencies, (N, 1), so that reading faster folds none back.
        reach: samples to both sides.
    """
    first = at.floor()
    part = (at - first).float() * band
    first = first.long()
    last = waves.shape[1] - 1
    # Both waves run on from tap to tap by an angle that is the row's own.
    rise, fall = (math.pi * part).sin(), (math.pi * part).cos()
    left, right = (math.pi / _ZEROS * part).sin(), (math.pi / _ZEROS * part).cos()
    made = torch.zeros_like(part)
    for step in range(1 - reach, reach + 1):
        off = part - step * band
        turn, slow = math.pi * step * band, math.pi / _ZEROS * step * band
        sinc = (rise * turn.cos() - fall * turn.sin()) / (math.pi * off)
        window = (1 + right * slow.cos() + left * slow.sin()).masked_fill_(off.abs() >= _ZEROS, 0.0)
        tap = sinc.masked_fill_(off.abs() < 1e-4, 1.0).mul_(window)
        made.addcmul_(tap, waves.gather(1, (first + step).clamp_(0, last)))
    return made * (band / 2)
