"""One echo, half as loud; the sum is halved so that it stays in range."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from train.augmentations.base import Augmentation as Base
from train.augmentations.base import AugmentationSettings, one_of


class Settings(AugmentationSettings):
    """The keys of kind: delay. The released code never draws 500 ms: its range ends before."""

    kind: Literal["delay"] = "delay"
    probability: float = 0.3
    shortest_ms: int = Field(default=200, ge=1)
    longest_ms: int = Field(default=450, ge=1)
    step_ms: int = Field(default=50, ge=1)
    volume: float = Field(default=0.5, ge=0)


class Augmentation(Base):
    """See the module."""

    NUMBERS = 1

    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        own, samples = self.settings, waves.shape[1]
        places = one_of(numbers, (own.longest_ms - own.shortest_ms) // own.step_ms + 1)
        lags = (own.shortest_ms + own.step_ms * places) * self.rate // 1000
        source = torch.arange(samples, device=waves.device) - lags
        echo = waves.gather(1, source.clamp_min(0)) * (source >= 0)
        heard: Tensor = (waves + own.volume * echo) / 2
        return heard
