"""What the trainer asks of a task: nothing else of it is known to the loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from train.data.batches import Batches
from train.evaluate.asked import Asked
from train.models.network import Network
from train.recipe import Recipe
from train.run import Run

Kept = Mapping[str, str]
"""Files of the run directory, by name, that a task needs to make its network again: a vocabulary, say."""


class Material(ABC):
    """A dataset as one recipe uses it, checked before the first step."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What a person should know, a sentence each."""

    @property
    def crops(self) -> int:
        """Crops of audio a track and step."""
        return 1

    @property
    @abstractmethod
    def train_tracks(self) -> Sequence[str]:
        """Ids of the usable tracks, in the order in which batches count them."""

    @property
    @abstractmethod
    def valid_tracks(self) -> Sequence[str]:
        """Ids of the usable tracks, in the order in which batches count them."""

    @property
    @abstractmethod
    def validates(self) -> bool:
        """Whether there is enough to validate on."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the result besides the recipe, as data.json holds it; says nothing of where it lies."""

    @abstractmethod
    def new_network(self) -> tuple[Network, Kept]:
        """A network before training, and what of it the run is to keep. Random weights follow from the seed alone.

        Raises:
            UsageError: weights that cannot be loaded; a crop that is too short for the network.
            DataError: training clips that are not finite.
        """

    @abstractmethod
    def batches(self, kept: Kept) -> tuple[Batches, Batches]:
        """Of the train tracks, and of the valid tracks."""

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The figures, higher being better, that a recipe's `training.select_by` may name."""
        return ()

    def figures(self, sides: Sequence[Tensor]) -> dict[str, float]:
        """What validation tells beside the loss, from all valid tracks' rows of each side, in order."""
        del sides
        return {}


class Task(Protocol):
    """What a module of `train.tasks` offers."""

    RECIPE: type[Recipe]
    KEPT: tuple[str, ...]

    def opened(self, data: str, recipe: Any, /) -> Material:
        """Open what a recipe needs of a dataset.

        Raises:
            UsageError: the dataset lacks it; the message names the manifest's or the recipe's key.
            DataError: a file is not the one that the receipt lists.
        """

    def restored(self, run: Run, recipe: Any, kept: Kept, /) -> Network:
        """The run's network, its weights still to be loaded; needs neither dataset nor hub."""

    def measured(self, run: Run, data: str, asked: Asked, /) -> dict[str, Any]:
        """What `tracklore evaluate` tells of a run on a dataset, as `metrics.json` holds it."""
