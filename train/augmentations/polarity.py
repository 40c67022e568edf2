"""The sound upside down, which no ear can tell."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from train.augmentations.base import Augmentation as Base
from train.augmentations.base import AugmentationSettings


class Settings(AugmentationSettings):
    """The keys of kind: polarity."""

    kind: Literal["polarity"] = "polarity"
    probability: float = 0.8


class Augmentation(Base):
    """See the module."""

    NUMBERS = 0

    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        return -waves
