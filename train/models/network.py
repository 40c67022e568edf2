"""What is trained: encoders, one a side, and an objective between the sides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from train.objectives.base import Loss
from train.objectives.gather import gathered

Tensors = dict[str, Tensor]


class Network(nn.Module, ABC):
    """Everything that has parameters, the objective's included, so that one wrapper synchronises them all.

    Attributes:
        objective: has `figures` and `after_step`.
        inputs: names of the tensors that hold rows of this rank's tracks, the first of them with `crops` a track.
        shared: the sides (by number) that are the same on every rank, rather than rows of its tracks.
        frozen: modules that learn nothing. They stay in eval mode, so that batch normalisation forgets nothing.
    """

    objective: Loss
    inputs: Sequence[str]
    shared: frozenset[int] = frozenset()
    frozen: Sequence[nn.Module] = ()

    @abstractmethod
    def sides(self, tensors: Tensors) -> tuple[Tensor, ...]:
        """What each side makes of its inputs, (rows, D) each."""

    @abstractmethod
    def between(self, sides: Sequence[Tensor], tensors: Tensors, crops: int) -> Tensor:
        """The loss of a global batch, a scalar.

        Args:
            sides: of all tracks of the batch, float32.
            tensors: what is known of the batch as a whole.
            crops: rows of the first side a track.
        """

    def forward(self, tensors: Tensors, crops: int = 1) -> Tensor:
        """The loss of the global batch; `tensors` as `train.data.batches.Batch` holds them."""
        return self.loss_between(self.sides(tensors), tensors, crops)

    def loss_between(self, sides: Sequence[Tensor], tensors: Tensors, crops: int) -> Tensor:
        """The loss of the global batch from this rank's sides."""
        return self.loss_of(
            [side if number in self.shared else gathered(side) for number, side in enumerate(sides)], tensors, crops
        )

    def loss_of(self, sides: Sequence[Tensor], tensors: Tensors, crops: int = 1) -> Tensor:
        """`between` in float32, whatever the precision around it."""
        with torch.autocast(sides[0].device.type, enabled=False):
            return self.between([side.float() for side in sides], tensors, crops)

    def chunks(self, tensors: Tensors, crops: int, tracks: int) -> Iterator[Tensors]:
        """The inputs of a few of this rank's tracks at a time."""
        count = len(tensors[self.inputs[0]]) // crops
        each = {name: len(tensors[name]) // count for name in self.inputs}
        for start in range(0, count, tracks):
            yield {name: tensors[name][start * n : (start + tracks) * n] for name, n in each.items()}

    def freeze(self, modules: Sequence[nn.Module]) -> None:
        """Let modules learn nothing, buffers included."""
        self.frozen = tuple(modules)
        for module in modules:
            module.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """As every module's; what is frozen stays in eval mode."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self
