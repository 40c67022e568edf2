"""The moving average of the weights, which is steadier than the weights and often better."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of every weight and of batch normalisation's statistics.

    After step n it moves by 1 − min(decay, (1 + n) / (10 + n)): what the network was before it learnt anything is
    soon forgotten. A function of the weights after each step alone, so going on needs nothing but itself.

    Attributes:
        tensors: by the name that the network's state has them under.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow the weights after step `step`, counted from 1."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        ours, theirs = [], []
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                ours.append(self.tensors[name])
                theirs.append(tensor)
            else:
                self.tensors[name].copy_(tensor)
        torch._foreach_lerp_(ours, theirs, share)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Let the network have the averaged weights meanwhile; its own come back to the bit."""
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        copy_into(network, self.tensors)
        try:
            yield
        finally:
            copy_into(network, own)


@torch.no_grad()
def copy_into(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy values into a network's own tensors, so that whoever holds these sees them."""
    for name, tensor in network.state_dict().items():
        tensor.copy_(tensors[name])
