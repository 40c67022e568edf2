"""The sigmoid loss: every pair by itself is true or not (Zhai et al. 2023, eq. 1)."""

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
    """The recipe's section `objective` for kind: siglip."""

    kind: Literal["siglip"] = "siglip"
    temperature: float = Field(default=0.1, gt=0, description="where it starts")
    min_temperature: float = Field(default=0.01, gt=0, description="the parameter is clamped to stay above")
    bias: float = Field(default=-10.0, description="where it starts: most pairs are not true")


def siglip(audio: Tensor, text: Tensor, scale: Tensor, bias: Tensor, pairs: Pairs) -> Tensor:
    """Minus the log-likelihood of all pairs over the number of audio rows, a scalar.

    Args:
        audio, text: unit embeddings, (N, D) and (M, D).
        scale, bias: of the logits.
        pairs: of these rows; ignored pairs count for nothing.
    """
    signs = pairs.relation.to(audio.dtype) * 2 - 1
    likelihood = F.logsigmoid(signs * (scale * audio @ text.T + bias)).masked_fill(pairs.ignored, 0.0)
    return -likelihood.sum() / len(audio)


class Objective(Loss):
    """Holds the scale, as a logarithm, and the bias."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / settings.temperature)))
        self.bias = nn.Parameter(torch.tensor(settings.bias))
        self.max_log_scale = math.log(1 / settings.min_temperature)

    def forward(self, audio: Tensor, text: Tensor, pairs: Pairs) -> Tensor:
        """The loss of a global batch; see `siglip`."""
        return siglip(audio, text, self.log_scale.exp(), self.bias, pairs)

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep the temperature in its bounds."""
        self.log_scale.clamp_(max=self.max_log_scale)

    def figures(self) -> dict[str, float]:
        """What the history records beside the loss."""
        return {"temperature": math.exp(-float(self.log_scale.detach())), "bias": float(self.bias.detach())}
