"""A room: Freeverb (Jezar at Dreampoint, 2000), as SoX parameterises it, beside the dry sound.

Eight combs whose feedback loses high frequencies stand side by side, four all-passes behind them. All are rational
functions of z, so the whole room is multiplied in frequency, row by row. A circle slightly outside the unit circle
is used instead of the unit circle: what a room of any length would fold back onto the start is then 80 dB down.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from train.augmentations.base import Augmentation as Base
from train.augmentations.base import AugmentationSettings, one_of

_COMBS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)
_ALL_PASSES = (225, 341, 441, 556)
_PUBLISHED_RATE = 44_100
_WET = 0.015
_FOLDED = 1e-4


class Settings(AugmentationSettings):
    """The keys of kind: reverb; all three are drawn from the whole percentages below `most`."""

    kind: Literal["reverb"] = "reverb"
    probability: float = 0.6
    most: int = Field(default=100, ge=1, le=100)


class Augmentation(Base):
    """See the module."""

    NUMBERS = 3

    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        percent = one_of(numbers, self.settings.most)
        return reverberated(waves, percent[:, 0], percent[:, 1], percent[:, 2], self.rate)


def reverberated(waves: Tensor, reverberance: Tensor, damping: Tensor, room: Tensor, rate: int) -> Tensor:
    """The sound in a room: (N, samples) and three times percentages (N,) to (N, samples)."""
    samples = waves.shape[1]
    size = 2 * samples
    shrink = math.log(_FOLDED) / size  # of what a sample's delay leaves, as a logarithm
    fading = torch.exp(shrink * torch.arange(samples, device=waves.device, dtype=torch.float32))
    spectrum = torch.fft.rfft(waves * fading, size)
    spectrum = spectrum * _response(reverberance, damping, room, rate, size, shrink)
    wet: Tensor = torch.fft.irfft(spectrum, size)[:, :samples] / fading
    return waves + wet


def _response(reverberance: Tensor, damping: Tensor, room: Tensor, rate: int, size: int, shrink: float) -> Tensor:
    """Of the room alone, at size // 2 + 1 frequencies."""
    number = torch.arange(size // 2 + 1, device=room.device)

    def delayed(lags: Tensor) -> Tensor:
        """Of a delay by so many samples, int64 (N, 1)."""
        turn = (number * lags % size) * (-2 * math.pi / size)
        return torch.polar(torch.exp(shrink * lags.float()).expand_as(turn), turn.float())

    least, most = -1 / math.log(1 - 0.3), math.log(1 - 0.98)
    bend = 100 / (most * least + 1)
    feedback = (1 - torch.exp((reverberance[:, None] - bend) / (least * bend))).float()
    kept = damping[:, None].float() * 0.003 + 0.2
    dulled = feedback * (1 - kept) / (1 - kept * delayed(torch.ones_like(room)[:, None]))
    scale = (room[:, None].double() * 0.009 + 0.1) * rate / _PUBLISHED_RATE
    made = torch.zeros_like(dulled)
    for length in _COMBS:
        late = delayed((scale * length + 0.5).long())
        made = made + late / (1 - dulled * late)
    for length in _ALL_PASSES:
        late = delayed(torch.full_like(room[:1, None], int(length * rate / _PUBLISHED_RATE + 0.5)))
        made = made * (1.5 * late - 1) / (1 - 0.5 * late)
    return made * _WET
