"""Two encoders, one space, one objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.audio import AudioEncoder
from train.models.text import TextEncoder
from train.objectives.gather import gathered


class Network(nn.Module):
    """Everything that has parameters, the objective's included, so that one wrapper synchronises them all."""

    def __init__(self, audio: AudioEncoder, text: TextEncoder, objective: Any) -> None:
        super().__init__()
        self.audio = audio
        self.text = text
        self.objective = objective

    def embed_audio(self, mels: Tensor) -> Tensor:
        """(N, frames, bands) to unit embeddings, float32 (N, D)."""
        return F.normalize(self.audio(mels).float(), dim=-1)

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (N, length) twice to unit embeddings, float32 (N, D)."""
        return F.normalize(self.text(ids, mask).float(), dim=-1)

    def loss_of(self, audio: Tensor, text: Tensor, relation: Tensor) -> Tensor:
        """The objective in float32, whatever the precision around it."""
        with torch.autocast(audio.device.type, enabled=False):
            loss: Tensor = self.objective(audio.float(), text.float(), relation)
            return loss

    def forward(self, mels: Tensor, ids: Tensor, mask: Tensor, relation: Tensor, crops: int = 1) -> Tensor:
        """The loss of the global batch.

        Args:
            mels: this rank's (n * crops, frames, bands).
            ids, mask: this rank's (n, length).
            relation: the global batch's, bool (N, N).
            crops: crops a track; a text then stands for each of them.
        """
        audio = gathered(self.embed_audio(mels))
        text = gathered(self.embed_text(ids, mask))
        if crops > 1:
            text = text.repeat_interleave(crops, 0)
            relation = relation.repeat_interleave(crops, 0).repeat_interleave(crops, 1)
        return self.loss_of(audio, text, relation)
