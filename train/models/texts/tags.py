"""No text encoder at all: one learnt centroid a tag (TTMR 2.1, the classification model; Lee et al. 2020)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from schemas.manifest import Section
from train.models.texts import Made, Words
from train.models.texts.words import SPECIAL, word_tokenizer


class Settings(Section):
    """The recipe's section `model.text` for kind: tags."""

    kind: Literal["tags"] = "tags"


class Centroids(nn.Module):
    """The id of a tag to its centroid, of any length; what is no tag of the vocabulary is all zero.

    They are the rows of a last layer without bias: its score of a track is the dot product.
    """

    unit = False

    def __init__(self, tags: int, embedding: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(embedding)  # as a linear layer begins
        self.centroids = nn.Parameter(torch.empty(tags, embedding).uniform_(-bound, bound))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (N, 1) twice to (N, embedding). Of a longer text every id counts, averaged."""
        nothing = self.centroids.new_zeros(len(SPECIAL), self.centroids.shape[1])
        found = torch.cat([nothing, self.centroids])[ids]
        known = (mask.bool() & (ids >= len(SPECIAL))).unsqueeze(-1)
        mean: Tensor = (found * known).sum(1) / known.sum(1).clamp_min(1)
        return mean


def new(_: Settings, words: Words, embedding: int) -> Made:
    """Random centroids of the train tracks' tags; tags that differ in case alone share one."""
    normalised = word_tokenizer((), split=False).normalizer.normalize_str
    tags = sorted({normalised(tag) for tag in words.tags})
    return Made(Centroids(len(tags), embedding), word_tokenizer(tags, split=False), {"tags": len(tags)})


def again(config: dict[str, Any], embedding: int) -> nn.Module:
    """The centroids of a run, still to be loaded."""
    return Centroids(int(config["tags"]), embedding)
