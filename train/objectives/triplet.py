"""The triplet loss both ways, on cosines, with negatives drawn by distance (TTMR 2.1; Won et al. 2021)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from schemas.manifest import Section
from train.objectives.base import Loss, Pairs
from train.objectives.negatives import distance_weights, drawn


class Settings(Section):
    """The recipe's section `objective` for kind: triplet."""

    kind: Literal["triplet"] = "triplet"
    margin: float = Field(default=0.4, gt=0, description="of cosines (TTMR 4.2)")
    nearest: float = Field(default=0.5, gt=0, lt=2, description="distances below count as this one")
    farthest: float = Field(default=1.4, gt=0, le=2, description="what is farther is not drawn as a negative")


def triplet(anchors: Tensor, others: Tensor, negatives: Tensor, usable: Tensor, margin: float) -> Tensor:
    """The mean over usable anchors of [margin − cos(anchor, own) + cos(anchor, negative)]₊, a scalar.

    Args:
        anchors, others: unit embeddings (N, D) twice; row i of both is a pair.
        negatives: int64 (N,), the row of `others` that is anchor i's negative.
        usable: bool (N,), anchors that have a negative.
    """
    own = (anchors * others).sum(1)
    wrong = (anchors * others[negatives]).sum(1)
    loss = F.relu(margin - own + wrong) * usable
    return loss.sum() / usable.sum().clamp_min(1)


class Objective(Loss):
    """Has no parameters."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, audio: Tensor, text: Tensor, pairs: Pairs) -> Tensor:
        """The mean of both directions; each text belongs to the audio of its row.

        A negative is any text (or audio) that is neither true of the anchor nor ignored. The released code weighs
        candidates by cosine over the number of tags not shared, which favours those that share most; this is what
        the paper names instead.
        """
        allowed = ~(pairs.relation | pairs.ignored)
        return (
            self._one_way(audio, text, allowed, pairs.noise[0, : len(audio)])
            + self._one_way(text, audio, allowed.T, pairs.noise[1, : len(text)])
        ) / 2

    def _one_way(self, anchors: Tensor, others: Tensor, allowed: Tensor, noise: Tensor) -> Tensor:
        own = self.settings
        weights = distance_weights(anchors, others, allowed, nearest=own.nearest, farthest=own.farthest)
        return triplet(anchors, others, drawn(weights, noise), allowed.any(1), own.margin)
