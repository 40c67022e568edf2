"""Quieter, evenly in decibels."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from train.augmentations.base import Augmentation as Base
from train.augmentations.base import AugmentationSettings, between


class Settings(AugmentationSettings):
    """The keys of kind: gain."""

    kind: Literal["gain"] = "gain"
    probability: float = 0.3
    lowest_db: float = -20.0
    highest_db: float = -1.0


class Augmentation(Base):
    """See the module."""

    NUMBERS = 1

    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        decibels = between(numbers, self.settings.lowest_db, self.settings.highest_db)
        return waves * 10 ** (decibels / 20)
