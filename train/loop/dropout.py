"""Dropout that depends on the sample and not on who computes it: masks are functions of (seed, step, sample).

PyTorch draws masks from one stream a process, so that two processes drop out otherwise than one that holds both
their batches, and a batch in chunks otherwise than a whole one. Here each row of a tensor has a mask of its own:
element j of row i is dropped where a_i·e_j + b_i modulo 2⁶⁴, as a share of 2⁶⁴, lies below p. There a and b
are hashes of (seed, step, which dropout of the network it is, row), and e is one of the element's place, so that
how far a text is padded changes nothing.

While a step computes, `torch.nn.functional` has these functions in place of its own: all modules, ours and those of
libraries, call what stands there by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from schemas.digests import stable_hash

_Words = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class SampleDropout:
    """The masks of one training."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tables: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}
        self._step, self._first, self._tracks, self._site = 0, 0, 1, 0

    def begin(self, step: int, first: int, tracks: int) -> None:
        """What follows is a pass over tracks `first` to `first + tracks` of the step's global batch.

        A tensor whose rows do not divide over the tracks is taken for one that is the same on every rank.
        """
        self._step, self._first, self._tracks, self._site = step, first, tracks, 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Drop out by these masks meanwhile."""
        dropout, attention = F.dropout, F.scaled_dot_product_attention

        def attend(
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attn_mask: Tensor | None = None,
            dropout_p: float = 0.0,
            is_causal: bool = False,
            scale: float | None = None,
            **more: Any,
        ) -> Tensor:
            if dropout_p == 0.0 or is_causal or any(more.values()):
                return attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **more)
            scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
            if attn_mask is not None:
                hidden = attn_mask.dtype == torch.bool
                scores = scores.masked_fill(~attn_mask, -torch.inf) if hidden else scores + attn_mask
            return self.dropped(scores.softmax(-1), dropout_p).to(value.dtype) @ value

        def drop(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
            if not training or p == 0.0 or p == 1.0 or not input.numel():
                return dropout(input, p, training, inplace)
            return self.dropped(input, p)

        F.dropout, F.scaled_dot_product_attention = drop, attend  # type: ignore[assignment]
        try:
            yield
        finally:
            F.dropout, F.scaled_dot_product_attention = dropout, attention

    def dropped(self, rows: Tensor, p: float) -> Tensor:
        """A tensor (rows, …) with a share p of the elements zero, and the others 1 / (1 − p) times as large."""
        self._site += 1
        return torch.where(self._mask(rows, p), rows / (1 - p), rows.new_zeros(()))

    def _mask(self, rows: Tensor, p: float) -> Tensor:
        """What stays, bool as `rows`."""
        count = len(rows)
        each, rest = divmod(count, self._tracks)
        first = 0 if rest else self._first * each
        base = np.uint64(stable_hash(f"{self._step}\x00{self._site}", self._seed))
        with np.errstate(over="ignore"):
            keys = base + (np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
        factors, offsets = _mixed(keys) | np.uint64(1), _mixed(~keys)
        drawn = np.stack([factors, offsets]).view(np.int64)
        factor, offset = torch.from_numpy(drawn).to(rows.device, non_blocking=True)[:, :, None]
        table = self._table(tuple(rows.shape[1:]), rows.device)
        kept: Tensor = table * factor + offset >= round(p * 2**64) - 2**63
        return kept.view(rows.shape)

    def _table(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """A random number for each element of a row, flat; of the same place in a longer text it is the same."""
        key = (shape, device)
        if key not in self._tables:
            places = np.full(shape, self._seed, np.uint64)
            for axis, length in enumerate(shape):
                along = np.arange(length, dtype=np.uint64).reshape(-1, *[1] * (len(shape) - axis - 1))
                places = _mixed(places * _GOLDEN + along)
            self._tables[key] = torch.from_numpy(places.reshape(-1).view(np.int64)).to(device)
        return self._tables[key]


def _mixed(words: _Words) -> _Words:
    """A good hash of each word (the finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return words ^ (words >> np.uint64(31))
