"""Two encoders, one space, one objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.audio import AudioEncoder
from train.objectives.base import Pairs
from train.objectives.gather import gathered


class Network(nn.Module):
    """Everything that has parameters, the objective's included, so that one wrapper synchronises them all.

    Args:
        text: called as `text(ids, mask)`; its `unit` says whether its vectors are to be of unit length.
        shares_texts: whether a batch's texts are the same on every rank, rather than one a track.
    """

    def __init__(self, audio: AudioEncoder, text: Any, objective: Any, *, shares_texts: bool = False) -> None:
        super().__init__()
        self.audio = audio
        self.text = text
        self.objective = objective
        self.shares_texts = shares_texts

    def embed_audio(self, mels: Tensor) -> Tensor:
        """(N, frames, bands) to unit embeddings, float32 (N, D)."""
        return F.normalize(self.audio(mels).float(), dim=-1)

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (N, length) twice to embeddings, float32 (N, D)."""
        embedded: Tensor = self.text(ids, mask).float()
        return F.normalize(embedded, dim=-1) if self.text.unit else embedded

    def loss_of(self, audio: Tensor, text: Tensor, pairs: Pairs) -> Tensor:
        """The objective in float32, whatever the precision around it."""
        with torch.autocast(audio.device.type, enabled=False):
            loss: Tensor = self.objective(audio.float(), text.float(), pairs)
            return loss

    def forward(self, tensors: dict[str, Tensor], crops: int = 1) -> Tensor:
        """The loss of the global batch.

        Args:
            tensors: as `train.data.batches.Batch` holds them.
            crops: crops a track; a text then stands for each of them.
        """
        audio = self.embed_audio(tensors["mels"])
        return self.loss_between(audio, self.embed_text(tensors["ids"], tensors["mask"]), tensors, crops)

    def loss_between(self, audio: Tensor, text: Tensor, tensors: dict[str, Tensor], crops: int) -> Tensor:
        """The loss of the global batch from this rank's embeddings; see `forward`."""
        audio = gathered(audio)
        relation = tensors["relation"].repeat_interleave(crops, 0)
        ignored = tensors["ignored"].repeat_interleave(crops, 0)
        if not self.shares_texts:
            text = gathered(text).repeat_interleave(crops, 0)
            relation, ignored = relation.repeat_interleave(crops, 1), ignored.repeat_interleave(crops, 1)
        return self.loss_of(audio, text, Pairs(relation, ignored, tensors["noise"]))
