"""Either the low or the high frequencies alone, by a windowed sinc."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from train.augmentations.base import Augmentation as Base
from train.augmentations.base import AugmentationSettings, between

_ZEROS = 8  # of the sinc, on both sides together, under the window


class Settings(AugmentationSettings):
    """The keys of kind: filters; frequencies are those of the edge, Hz."""

    kind: Literal["filters"] = "filters"
    probability: float = 0.8
    low_pass_from: float = Field(default=2200.0, gt=0)
    low_pass_to: float = Field(default=4000.0, gt=0)
    high_pass_from: float = Field(default=200.0, gt=0)
    high_pass_to: float = Field(default=1200.0, gt=0)


class Augmentation(Base):
    """See the module."""

    NUMBERS = 2

    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        own = self.settings
        high = numbers[:, :1] < 0.5
        edge = torch.where(
            high,
            between(numbers[:, 1:], own.high_pass_from, own.high_pass_to),
            between(numbers[:, 1:], own.low_pass_from, own.low_pass_to),
        )
        least = min(own.low_pass_from, own.high_pass_from) / self.rate
        low = low_passed(waves, edge / self.rate, least)
        return torch.where(high, waves - low, low)


def low_passed(waves: Tensor, edges: Tensor, least: float) -> Tensor:
    """What lies below an edge: (N, samples) and (N, 1) in periods a sample, none below `least`, to (N, samples)."""
    reach = int(_ZEROS / least / 2)
    at = torch.arange(-reach, reach + 1, device=waves.device, dtype=torch.float32)
    half = (_ZEROS / edges / 2).floor()
    window = torch.where(at.abs() <= half, 0.5 + 0.5 * torch.cos(torch.pi * at / half), 0.0)
    kernels = window * torch.sinc(2 * edges * at)
    kernels = kernels / kernels.sum(1, keepdim=True)
    held = F.pad(waves.unsqueeze(1), (reach, reach), mode="replicate").squeeze(1)
    size = held.shape[1] + 2 * reach
    spectrum = torch.fft.rfft(held, size) * torch.fft.rfft(kernels, size)
    low: Tensor = torch.fft.irfft(spectrum, size)[:, 2 * reach : 2 * reach + waves.shape[1]]
    return low
