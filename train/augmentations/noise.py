"""White Gaussian noise, as loud as a share of the sound's own deviation: 40 to 80 dB below it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from train.augmentations.base import Augmentation as Base
from train.augmentations.base import AugmentationSettings, between

_SEEDS = 1 << 24  # what a float32 in [0, 1) can tell apart
_LOW_32 = 0xFFFFFFFF


class Settings(AugmentationSettings):
    """The keys of kind: noise."""

    kind: Literal["noise"] = "noise"
    probability: float = 0.01
    least: float = Field(default=1e-4, ge=0, description="of the sound's standard deviation")
    most: float = Field(default=1e-2, ge=0)


class Augmentation(Base):
    """See the module."""

    NUMBERS = 2

    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        level = between(numbers[:, :1], self.settings.least, self.settings.most) * waves.std(1, keepdim=True)
        seeds = (numbers[:, 1].double() * _SEEDS).long()
        return waves + level * white_noise(seeds, waves.shape[1])


def white_noise(seeds: Tensor, samples: int) -> Tensor:
    """Standard normal numbers that follow from int64 seeds (N,) alone, on any device: float32 (N, samples)."""
    places = torch.arange(samples, device=seeds.device)
    mixed = _mixed(seeds)[:, None] + 2 * places
    radius, turn = (((_mixed(mixed + part) + 0.5) / 2**32).double() for part in (0, 1))
    normal: Tensor = (-2 * radius.log()).sqrt() * (2 * math.pi * turn).cos()
    return normal.float()


def _mixed(values: Tensor) -> Tensor:
    """A bijection of 32-bit numbers in which every bit depends on every other."""
    values = values & _LOW_32
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        values = ((values ^ (values >> shift)) * factor) & _LOW_32
    return values ^ (values >> 15)
