"""What every objective is called with, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Pairs:
    """What is known of N audio rows and M text rows.

    Attributes:
        relation: bool (N, M), whether text j is true of audio i and is to be drawn near.
        ignored: bool (N, M), pairs that are neither drawn near nor pushed away; never where `relation` is true.
        noise: float (2, max(N, M)), uniform in [0, 1): what an objective that draws draws by, so that it is a pure
            function of its arguments, and the same on every rank.
    """

    relation: Tensor
    ignored: Tensor
    noise: Tensor

    @classmethod
    def of(cls, relation: Tensor, ignored: Tensor | None = None, noise: Tensor | None = None) -> Pairs:
        """Pairs of which only the relation is known: nothing ignored, and noise of one half."""
        return cls(
            relation,
            torch.zeros_like(relation) if ignored is None else ignored,
            torch.full((2, max(relation.shape)), 0.5, device=relation.device) if noise is None else noise,
        )


class Loss(nn.Module):
    """An objective: called with unit embeddings (N, D) and (M, D) and their `Pairs`, it gives a scalar."""

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep parameters in their bounds; called after every optimiser step. Most have none."""
        return

    def figures(self) -> dict[str, float]:
        """What the history records beside the loss."""
        return {}
