"""Classification: binary cross-entropy of z · c for every track and every tag (TTMR 2.1, after Lee et al. 2020)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from schemas.manifest import Section
from train.objectives.base import Loss, Pairs


class Settings(Section):
    """The recipe's section `objective` for kind: bce."""

    kind: Literal["bce"] = "bce"


def bce(audio: Tensor, centroids: Tensor, pairs: Pairs) -> Tensor:
    """The mean binary cross-entropy over all pairs that are not ignored, a scalar.

    Args:
        audio: unit embeddings (N, D).
        centroids: one a tag, (M, D), of any length.
        pairs: whose relation says which tags a track has.
    """
    each = F.binary_cross_entropy_with_logits(audio @ centroids.T, pairs.relation.to(audio.dtype), reduction="none")
    counted = ~pairs.ignored
    return (each * counted).sum() / counted.sum().clamp_min(1)


class Objective(Loss):
    """Has no parameters: the centroids are the text side's."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()

    def forward(self, audio: Tensor, text: Tensor, pairs: Pairs) -> Tensor:
        """The loss of a global batch; see `bce`."""
        return bce(audio, text, pairs)
