"""What is seen, second by second, as one vector: VCMR's model over CLIP vectors (3.3), and its projector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VideoLstm(nn.Module):
    """Vectors of successive seconds to features.

    A two-layer LSTM as wide as the vectors, then one linear layer over all of its states. The paper names the
    layers; that all states count, the dropout between the layers and the rectifier behind are the released code's.

    Each dimension is standardised by `mean` and `std`, buffers that leave it as it is until they are set.

    Args:
        dimensions: of a second's vector.
        seconds: of a crop.
        width: dimensions of the result.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dimensions: int, seconds: int, width: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("std", torch.ones(dimensions))
        # One module a layer: the dropout inside PyTorch's own stack draws from the process's random state.
        self.over_time = nn.ModuleList(nn.LSTM(dimensions, dimensions, batch_first=True) for _ in range(layers))
        self.between = nn.Dropout(dropout)
        self.joined = nn.Linear(seconds * dimensions, width)

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, seconds, dimensions) of any float type to (N, width)."""
        states = (vectors.float() - self.mean) / self.std
        for number, layer in enumerate(self.over_time):
            states, _ = layer(self.between(states) if number else states)
        features: Tensor = self.joined(states.flatten(1)).relu()
        return features


def projector(width: int, embedding: int) -> nn.Sequential:
    """Two linear layers without biases into the space where views are compared; left behind after training."""
    return nn.Sequential(nn.Linear(width, width, bias=False), nn.ReLU(), nn.Linear(width, embedding, bias=False))
