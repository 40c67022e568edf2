"""Symmetric InfoNCE with a learnable temperature (TTMR 2.1, eq. 1), and with several positives a row."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.manifest import Section
from train.objectives.base import Loss, Pairs


class Settings(Section):
    """The recipe's section `objective` for kind: info_nce."""

    kind: Literal["info_nce"] = "info_nce"
    temperature: float = Field(default=0.2, gt=0, description="where it starts")
    min_temperature: float = Field(
        default=0.01, gt=0, description="the parameter is clamped so as not to fall below"
    )
    learn_temperature: bool = True


def info_nce(audio: Tensor, text: Tensor, scale: Tensor, pairs: Pairs) -> Tensor:
    """The mean of the audio-to-text and the text-to-audio cross-entropy, a scalar.

    A row's target is uniform over its positives (as Khosla et al. 2020, eq. 2, does with the sum outside the
    logarithm), which with one positive a row is the usual loss. A row or column without positives counts for
    nothing; ignored pairs leave the denominators.

    Args:
        audio, text: unit embeddings, (N, D) and (M, D).
        scale: one over the temperature.
        pairs: of these rows.
    """
    logits = (scale * audio @ text.T).masked_fill(pairs.ignored, -torch.inf)
    return (_cross_entropy(logits, pairs.relation) + _cross_entropy(logits.T, pairs.relation.T)) / 2


def _cross_entropy(logits: Tensor, relation: Tensor) -> Tensor:
    """Of the rows that have a positive, with a target uniform over their positives."""
    # An ignored pair is no target, and minus infinity times nothing is not a number.
    surprise = -F.log_softmax(logits, 1).masked_fill(~relation, 0.0)
    count = relation.sum(1)
    return (surprise.sum(1) / count.clamp_min(1)).sum() / (count > 0).sum().clamp_min(1)


class Objective(Loss):
    """Holds the temperature, as the logarithm of its inverse; the parameter is clamped, not its exponential, so
    its gradient never dies at the bound."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        start = torch.tensor(math.log(1 / settings.temperature))
        self.log_scale = nn.Parameter(start, requires_grad=settings.learn_temperature)
        self.max_log_scale = math.log(1 / settings.min_temperature)

    def forward(self, audio: Tensor, text: Tensor, pairs: Pairs) -> Tensor:
        """The loss of a global batch; see `info_nce`."""
        return info_nce(audio, text, self.log_scale.exp(), pairs)

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep the temperature in its bounds; called after every optimiser step."""
        self.log_scale.clamp_(max=self.max_log_scale)

    def figures(self) -> dict[str, float]:
        """What the history records beside the loss."""
        return {"temperature": math.exp(-float(self.log_scale.detach()))}
