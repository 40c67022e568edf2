"""Labels as numbers: from lists of words, one a row, to pairs of (row, label)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Which row has which label.

    Attributes:
        rows, codes: int64 (pairs,), ordered by row, then code; a label that stands twice on a row counts once.
        names: the labels in order; a code is a place in it.
        count: how many rows there are, those without a label included.
    """

    rows: Codes
    codes: Codes
    names: tuple[str, ...]
    count: int

    def of(self, rows: Codes) -> Labels:
        """The labels of some rows, numbered anew by their place in `rows` (int64, no row twice)."""
        place = np.full(self.count, -1, np.int64)
        place[rows] = np.arange(len(rows))
        moved = place[self.rows]
        kept = moved >= 0
        width = max(1, len(self.names))
        keys = np.sort(moved[kept] * width + self.codes[kept])
        return Labels(keys // width, keys % width, self.names, len(rows))


def as_array(column: Any, kind: pa.DataType | None = None) -> pa.Array:
    """One Arrow array of a column: a list, an array or a chunked array; dictionaries are decoded."""
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    elif not isinstance(column, pa.Array):
        column = pa.array(column, kind)
    return pc.dictionary_decode(column) if pa.types.is_dictionary(column.type) else column


def distinct(keys: Codes) -> tuple[Codes, Codes]:
    """The values that occur, in order, and how often each does: int64 (values,) twice. Sorting numbers is several
    times as fast as `numpy.unique`, which hashes them."""
    ordered = np.sort(keys)
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else ordered
    return ordered[starts], np.diff(np.append(starts, len(ordered)))


def numbered(column: Any) -> Codes:
    """Number the values of a column: int64 (rows,), equal for equal values, from 0.

    Args:
        column: an Arrow column, an array of integers, or a sequence of strings (of any, surrogates included).
    """
    if isinstance(column, np.ndarray):
        return np.unique(column, return_inverse=True)[1].astype(np.int64)
    try:
        encoded = pc.dictionary_encode(as_array(column), null_encoding="encode")
    except UnicodeEncodeError:
        texts = np.asarray(column, dtype=object).astype(str)
        return np.unique(texts, return_inverse=True)[1].astype(np.int64)
    codes: Codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def labels_of(column: Any, vocabulary: Sequence[str] | None = None) -> Labels:
    """Number the labels of a list column (a sequence of sequences of strings, or Arrow lists of them).

    Args:
        vocabulary: number by the place in it and leave other labels out; by default every label, sorted.
    """
    lists = as_array(column, pa.list_(pa.string()))
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    words = as_array(pc.list_flatten(lists))
    if not (pa.types.is_string(words.type) or pa.types.is_large_string(words.type)):
        words = words.cast(pa.string())
    encoded = pc.dictionary_encode(words)
    found = encoded.dictionary.cast(pa.string())
    names = tuple(sorted(found.drop_null().to_pylist())) if vocabulary is None else tuple(vocabulary)
    places = pc.index_in(found, value_set=pa.array(names, pa.string()))
    place = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    raw = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    codes = np.append(place, -1)[raw]
    kept = codes >= 0
    unique, _ = distinct(rows[kept] * max(1, len(names)) + codes[kept])
    return Labels(unique // max(1, len(names)), unique % max(1, len(names)), names, len(lists))
