"""NT-Xent: two views of each track, every other row of both a negative (Chen et al. 2020; VCMR 3; Enriched 3.2).

Unlike InfoNCE its denominator has 2N − 1 terms: rows of the same view are negatives as well.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from schemas.manifest import Section
from train.objectives.base import Loss, Pairs


class Settings(Section):
    """The recipe's section `objective` for kind: nt_xent."""

    kind: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(default=0.1, gt=0, description="fixed (VCMR 4.2, Enriched 4.2)")


def nt_xent(first: Tensor, second: Tensor, temperature: float, pairs: Pairs) -> Tensor:
    """The mean over the 2N rows of minus the log-probability of a row's other view, a scalar.

    A row that `pairs` relates to another, or ignores, is no negative of it in either view.

    Args:
        first, second: unit embeddings (N, D) twice; row i of both is one track.
        pairs: between the views; its diagonal is true.
    """
    count = len(first)
    rows = torch.cat([first, second])
    logits = rows @ rows.T / temperature
    own = torch.eye(count, dtype=torch.bool, device=rows.device)
    # What is true of a track is no negative of it from its own view either.
    across = (pairs.relation | pairs.ignored) & ~own
    within = across | across.T | own
    left_out = torch.cat([torch.cat([within, across], 1), torch.cat([across.T, within], 1)])
    targets = torch.arange(2 * count, device=rows.device).roll(count)
    return F.cross_entropy(logits.masked_fill(left_out, -torch.inf), targets)


class Objective(Loss):
    """Has no parameters."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.temperature = settings.temperature

    def forward(self, audio: Tensor, text: Tensor, pairs: Pairs) -> Tensor:
        """The loss of a global batch; see `nt_xent`."""
        return nt_xent(audio, text, self.temperature, pairs)
