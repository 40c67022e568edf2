"""GloVe's word vectors, frozen, behind a learnt projection; a text is the mean of its words (TTMR 3.2).

The paper projects each word and then averages; the released code averages first. Here as the paper says: with the
layer norm before the projection the two differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from schemas.errors import UsageError
from schemas.manifest import Section
from train.models.texts import Made, Words
from train.models.texts.words import SPECIAL, word_tokenizer


class Settings(Section):
    """The recipe's section `model.text` for kind: glove."""

    kind: Literal["glove"] = "glove"
    file: str | None = Field(default=None, description="the text file of vectors, such as glove.6B.300d.txt")
    words: int = Field(
        default=50_000, ge=0, description="of the file's first words, beside those that the dataset uses"
    )


class GloveEncoder(nn.Module):
    """Word ids to embeddings. The vectors travel with the weights and are not learnt."""

    unit = True

    def __init__(self, vectors: Tensor, embedding: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.vectors: Tensor
        self.norm = nn.LayerNorm(vectors.shape[1])
        self.project = nn.Linear(vectors.shape[1], embedding, bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (N, length) twice to (N, embedding), not yet of unit length; all zero where no word is known."""
        each = self.project(self.norm(self.vectors[(ids - len(SPECIAL)).clamp_min(0)]))
        known = (mask.bool() & (ids >= len(SPECIAL))).unsqueeze(-1)
        mean: Tensor = (each * known).sum(1) / known.sum(1).clamp_min(1)
        return mean


def new(settings: Settings, words: Words, embedding: int) -> Made:
    """The file's vectors of the dataset's words, and of its first words, behind a new projection.

    Raises:
        UsageError: no file, or one of another form.
    """
    splitter = word_tokenizer((), split=True)
    used = {
        word
        for text in (*words.said, *words.tags)
        for word, _ in splitter.pre_tokenizer.pre_tokenize_str(splitter.normalizer.normalize_str(text))
    }
    known, vectors = read_glove(settings.file, used, settings.words)
    config = {"words": len(known), "width": int(vectors.shape[1])}
    return Made(GloveEncoder(torch.from_numpy(vectors), embedding), word_tokenizer(known, split=True), config)


def again(config: dict[str, Any], embedding: int) -> nn.Module:
    """The encoder of a run, vectors and weights still to be loaded."""
    return GloveEncoder(torch.zeros(int(config["words"]), int(config["width"])), embedding)


def read_glove(file: str | None, used: set[str], first: int) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The words of a GloVe text file, and their vectors.

    A line is a word and its numbers; the most frequent word comes first.

    Args:
        used: words to keep wherever they stand.
        first: how many of the file's first words are kept in any case.

    Returns:
        distinct words in the order of the file, and float32 (words, D).

    Raises:
        UsageError: the file is missing, or a line is not a word and as many numbers as the first line has; or it
            holds none of the words.
    """
    if file is None:
        raise UsageError("model.text.file: is required; give GloVe's text file by --set model.text.file=FILE")
    kept: dict[str, npt.NDArray[np.float32]] = {}
    width = 0
    try:
        with Path(file).open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                width = width or line.count(" ")
                # From the right: some words of the largest set have spaces in them.
                word, *values = line.rstrip("\r\n").rsplit(" ", width)
                if (number > first and word not in used) or word in kept:
                    continue
                try:
                    vector = np.array(values, np.float32)
                except ValueError:
                    vector = np.empty(0, np.float32)
                if not width or len(vector) != width or not np.isfinite(vector).all():
                    raise UsageError(f"model.text.file: {file}: line {number} is not a word and {width} numbers")
                kept[word] = vector
    except OSError as error:
        raise UsageError(
            f"model.text.file: {file}: cannot be read ({error.strerror or error}); "
            "download GloVe's vectors, and name the file of them that you want"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"model.text.file: {file}: cannot be read as UTF-8 text ({error})") from error
    if not used & set(kept):
        raise UsageError(f"model.text.file: {file}: holds none of the dataset's words; is it a file of GloVe?")
    return list(kept), np.stack(list(kept.values()))
