"""The order of a table's rows: as pyarrow's own sort has it, from numbers instead of text.

Text is in the order of its UTF-8 bytes, numbers in theirs (-0.0 before 0.0, NaN after infinity), nulls last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.coded import Coded, Numbers, coded, in_one_dictionary

_BITS = 63


@dataclass(frozen=True)
class RowOrder:
    """How the rows of a table are to be read.

    Attributes:
        rows: (rows,) the row that stands at each place; None when they are in order as they are.
        repeated: a row that is equal to another by every key, counted in the table as it came; None when there is
            none.
        repeats: how many keys occur more than once.
    """

    rows: Numbers | None
    repeated: int | None = None
    repeats: int = 0


def row_order(table: pa.Table, keys: Sequence[str]) -> RowOrder:
    """Order the rows by `keys`, ascending; rows that are equal by all of them stay as they came.

    Args:
        keys: names of columns of text (dictionary-encoded or plain), integers or floats.
    """
    rows = table.num_rows
    if rows < 2 or not keys:
        return RowOrder(None)
    if _ascends([table.column(key) for key in keys]):
        return RowOrder(None)
    order: Numbers | None = None
    tied: npt.NDArray[np.bool_] | None = None
    for packed in _packed(table, keys):
        if tied is None:
            order = None if np.all(packed[1:] >= packed[:-1]) else stable_order(packed)
            tied = _same(packed if order is None else packed[order])
        else:
            order, tied = _within_ties(packed, order, tied)
        if not tied.any():
            return RowOrder(order)
    assert tied is not None
    first = int(np.argmax(tied))
    # A run of ties counts once.
    repeats = int(np.count_nonzero(tied & ~np.append(False, tied[:-1])))
    return RowOrder(order, first if order is None else int(order[first]), repeats)


def _ascends(columns: Sequence[pa.ChunkedArray]) -> bool:
    """Whether every row lies above the one before; most tables arrive like that. False also where that takes more
    than a look: at nulls, at floats, at dictionaries out of order."""
    equal: npt.NDArray[np.bool_] | None = None
    for column in columns:
        compared = _compared(column)
        if compared is None:
            return False
        above, same = compared
        if not np.all(above | same if equal is None else above | same | ~equal):
            return False
        equal = same if equal is None else equal & same
        if not equal.any():
            return True
    return False


def _compared(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """(rows - 1,) which values lie above the one before, and which are equal to it."""
    if pa.types.is_dictionary(column.type):
        column = in_one_dictionary(column)
    if column.null_count or pa.types.is_floating(column.type):
        return None
    if pa.types.is_dictionary(column.type):
        values = column.chunk(0).dictionary
        if len(values) > 1 and not pc.all(pc.greater(values[1:], values[:-1])).as_py():
            return None
        parts = [chunk.indices.to_numpy() for chunk in column.chunks]
        codes = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return codes[1:] > codes[:-1], codes[1:] == codes[:-1]
    after, before = column.slice(1), column.slice(0, len(column) - 1)
    return pc.greater(after, before).to_numpy(), pc.equal(after, before).to_numpy()


def _packed(table: pa.Table, keys: Sequence[str]) -> Iterator[Numbers]:
    """The keys as numbers, as many in one as its bits hold."""
    packed, room = None, 1
    for key in keys:
        column = table.column(key)
        if packed is not None and pa.types.is_floating(column.type):
            yield packed  # floats fill a number of their own, and most tables are in order before they count
            packed = None
        rank, count = _ranked(column)
        if packed is None:
            packed, room = rank, count
        elif room * count < 1 << _BITS:
            packed, room = packed * count + rank, room * count
        else:
            yield packed
            packed, room = rank, count
    assert packed is not None
    yield packed


def _ranked(column: pa.ChunkedArray) -> tuple[Numbers, int]:
    """The place of each row's value among those of its column, and how many places there are."""
    if pa.types.is_floating(column.type):
        column = pa.chunked_array([_ordered_bits(column)])
    if pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
        limits = pc.min_max(column).as_py()
        low, high = limits["min"] or 0, limits["max"] or 0
        if high - low < 1 << 32:
            above = pc.subtract(column.cast(pa.int64()), low)
            return pc.fill_null(above, high - low + 1).to_numpy(), high - low + 2
    found = coded(column)
    place = np.append(_places(found), len(found.values))
    return place[found.codes], len(place)


def _places(found: Coded) -> Numbers:
    """The place of each value; values are distinct."""
    values = found.values
    if len(values) < 2 or pc.all(pc.greater(values[1:], values[:-1])).as_py():
        return np.arange(len(values), dtype=np.int64)
    place = np.empty(len(values), np.int64)
    place[pc.array_sort_indices(values).to_numpy()] = np.arange(len(values))
    return place


def _ordered_bits(column: pa.ChunkedArray) -> pa.Array:
    """Floats as integers in the same order; the sign of a zero tells, so that equal means the same bytes."""
    values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy()
    bits = values.view(np.uint64)
    top = np.uint64(1) << np.uint64(63)
    ordered = np.where((bits >= top) & ~np.isnan(values), ~bits ^ top, bits & ~top).view(np.int64)
    return pa.array(ordered, mask=column.is_null().to_numpy() if column.null_count else None)


def stable_order(packed: Numbers) -> Numbers:
    """The order of numbers from 0 on, equal ones as they came.

    Where a row's number fits behind its key, numbers alone are sorted, which is fastest.
    """
    bits = max(1, (len(packed) - 1).bit_length())
    if int(packed.max(initial=0)).bit_length() + bits > _BITS:
        return np.argsort(packed, kind="stable")
    behind = (packed << bits) | np.arange(len(packed), dtype=np.int64)
    behind.sort()
    behind &= (1 << bits) - 1
    return behind


def _same(ordered: Numbers) -> npt.NDArray[np.bool_]:
    """(rows,) whether each row is equal to the one after it."""
    return np.append(ordered[1:] == ordered[:-1], False)


def _within_ties(
    packed: Numbers, order: Numbers | None, tied: npt.NDArray[np.bool_]
) -> tuple[Numbers | None, npt.NDArray[np.bool_]]:
    """Order the rows of each run of ties by one more key; and what is tied still."""
    inside = tied | np.append(False, tied[:-1])
    places = np.flatnonzero(inside)
    rows = places if order is None else order[places]
    runs = np.cumsum(~np.append(False, tied[:-1])[places])
    chosen = np.lexsort((packed[rows], runs))
    still = np.append((runs[1:] == runs[:-1]) & (packed[rows][chosen][1:] == packed[rows][chosen][:-1]), False)
    left = np.zeros(len(tied), np.bool_)
    left[places] = still
    if not np.array_equal(chosen, np.arange(len(chosen))):
        order = np.arange(len(tied), dtype=np.int64) if order is None else order
        order[places] = rows[chosen]
    return order, left
