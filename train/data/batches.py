"""What one training step is given, and who gives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from train.data.order import EpochOrder
from train.data.reader import Array


@dataclass(frozen=True)
class Batch:
    """One rank's part of a global batch.

    Attributes:
        track_ids: of the whole global batch, (N,).
        tensors: what the network is called with, by name: rows of this rank's tracks, a track's side by side, under
            the names in its `inputs`; all else is known of the whole global batch.
        crops: rows of audio a track.
        figures: what the history tells of the batches, by name.
    """

    track_ids: tuple[str, ...]
    tensors: dict[str, Array]
    crops: int = 1
    figures: dict[str, float] = field(default_factory=dict)


class Batches(ABC):
    """Makes the batches of a task; every method is a pure function of its arguments.

    Attributes:
        seed: of all that is drawn.
    """

    seed: int

    @abstractmethod
    def training(self, order: EpochOrder, epoch: int, step: int) -> Batch:
        """A step's batch. `order` counts the train tracks as `Material.train_tracks` does."""

    @abstractmethod
    def validation(self, items: Sequence[int]) -> dict[str, Array]:
        """The network's inputs for some valid tracks, one row of audio each, the same every time."""

    @abstractmethod
    def validation_known(self, items: Sequence[int], number: int) -> dict[str, Array]:
        """What is known of validation batch `number` as a whole."""
