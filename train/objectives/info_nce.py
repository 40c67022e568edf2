"""Symmetric InfoNCE with a learnable temperature (TTMR 2.1, eq. 1), and with several positives a row."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.manifest import Section


class Settings(Section):
    """The recipe's section `objective` for kind: info_nce."""

    kind: Literal["info_nce"] = "info_nce"
    temperature: float = Field(default=0.2, gt=0, description="where it starts")
    min_temperature: float = Field(
        default=0.01, gt=0, description="the parameter is clamped so as not to fall below"
    )
    learn_temperature: bool = True


def info_nce(audio: Tensor, text: Tensor, scale: Tensor, relation: Tensor) -> Tensor:
    """The mean of the audio-to-text and the text-to-audio cross-entropy, a scalar.

    A row's target is uniform over its positives (as Khosla et al. 2020, eq. 2, does with the sum outside the
    logarithm), which with one positive a row is the usual loss.

    Args:
        audio, text: unit embeddings, (N, D).
        scale: one over the temperature.
        relation: bool (N, N), [i, j] whether text j is true of audio i; the diagonal is true.
    """
    logits = scale * audio @ text.T
    wanted = relation.to(logits.dtype)
    of_audio = -(wanted / wanted.sum(1, keepdim=True) * F.log_softmax(logits, 1)).sum(1).mean()
    of_text = -(wanted / wanted.sum(0, keepdim=True) * F.log_softmax(logits, 0)).sum(0).mean()
    return (of_audio + of_text) / 2


class Objective(nn.Module):
    """Holds the temperature, as the logarithm of its inverse; the parameter is clamped, not its exponential, so
    its gradient never dies at the bound."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        start = torch.tensor(math.log(1 / settings.temperature))
        self.log_scale = nn.Parameter(start, requires_grad=settings.learn_temperature)
        self.max_log_scale = math.log(1 / settings.min_temperature)

    def forward(self, audio: Tensor, text: Tensor, relation: Tensor) -> Tensor:
        """The loss of a global batch; see `info_nce`."""
        return info_nce(audio, text, self.log_scale.exp(), relation)

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep the temperature in its bounds; called after every optimiser step."""
        self.log_scale.clamp_(max=self.max_log_scale)

    def figures(self) -> dict[str, float]:
        """What the history records beside the loss."""
        return {"temperature": math.exp(-float(self.log_scale.detach()))}
