"""What an augmentation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from schemas.manifest import Section


class AugmentationSettings(Section):
    """The keys that all have; each kind adds its own, and gives its published probability."""

    kind: str
    probability: float = Field(ge=0, le=1, description="that a view is augmented so")


class Augmentation(ABC):
    """One kind of change. Rows do not know each other, and equal numbers give equal sound.

    Attributes:
        NUMBERS: how many uniform numbers decide how much a view is changed.
    """

    NUMBERS: ClassVar[int]

    def __init__(self, settings: Any, rate: int) -> None:
        self.settings = settings
        self.rate = rate

    @abstractmethod
    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        """Change every row: float32 (N, samples) and (N, NUMBERS), uniform in [0, 1), to float32 (N, samples)."""


def between(numbers: Tensor, low: float, high: float) -> Tensor:
    """Uniform in [0, 1) as uniform in [low, high)."""
    return low + (high - low) * numbers


def one_of(numbers: Tensor, count: int) -> Tensor:
    """Uniform in [0, 1) as one of `count` places, int64."""
    return (numbers.double() * count).long().clamp_max(count - 1)
