"""Texts as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer


@dataclass(frozen=True)
class Tokens:
    """Token ids and attention mask, int64 (N, length)."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> Tokens:
    """Token ids of texts, padded to the longest."""
    encodings = tokenizer.encode_batch(list(texts))
    ids = np.array([encoding.ids for encoding in encodings], np.int64)
    return Tokens(ids, np.array([encoding.attention_mask for encoding in encodings], np.int64))
