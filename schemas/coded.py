"""Columns as numbers: the values that occur, and for each row which of them it is.

Millions of rows hold few distinct ids and tags. Comparing, counting and sorting numbers is many times as fast as
doing so with text, and takes a fraction of the memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_REMEMBERED = 8
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """A column in two parts.

    Attributes:
        codes: (rows,) the number of each row's value, -1 where it has none.
        values: (distinct,) each value once, without nulls.
    """

    codes: Numbers
    values: pa.Array

    def occurring(self) -> int:
        """How many distinct values the rows have."""
        return int(np.count_nonzero(np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))))


def coded(column: pa.ChunkedArray | pa.Array) -> Coded:
    """Take a column apart, whether it is dictionary-encoded or plain."""
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    chunked = in_one_dictionary(chunked)
    was_plain = not pa.types.is_dictionary(chunked.type)
    if was_plain:
        chunked = _unified(chunked.dictionary_encode())
    if chunked.num_chunks == 0:
        return Coded(np.empty(0, np.int64), pa.array([], chunked.type.value_type))
    codes = np.concatenate([_codes(chunk.indices) for chunk in chunked.chunks])
    values = chunked.chunk(0).dictionary
    if was_plain or _checked.holds(values):
        return Coded(codes, values)
    once = values.dictionary_encode()
    if len(once.dictionary) == len(values):
        _checked.add(values)
        return Coded(codes, values)
    # A source may list a value twice.
    return Coded(np.append(_codes(once.indices), -1)[codes], once.dictionary)


class _Checked:
    """The dictionaries last found to list no value twice: the steps of a stage share one, each would look again.

    They are held, so that their memory is not another's while they are known by it.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[int, ...], pa.Array] = OrderedDict()
        self._lock = threading.Lock()

    def holds(self, values: pa.Array) -> bool:
        """Whether these values were found so."""
        return _place_of(values) in self._held

    def add(self, values: pa.Array) -> None:
        """Remember them, and forget the oldest."""
        with self._lock:
            self._held[_place_of(values)] = values
            if len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)


_checked = _Checked()


def distinct_numbers(numbers: Numbers) -> Numbers:
    """The numbers, each once, in order. Sorting is faster here than the hashing of `numpy.unique`."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _codes(indices: pa.Array) -> Numbers:
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), -1)
    codes: Numbers = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without its dictionary."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def decoded(codes: Numbers, values: pa.Array) -> pa.DictionaryArray:
    """Put a column together; no code may be negative."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), values)


def compact(table: pa.Table) -> pa.Table:
    """The table in one piece, the dictionaries of its columns without values that no row has."""
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_dictionary(column.type) and not column.null_count:
            found = coded(column)
            used = np.zeros(len(found.values), np.bool_)
            used[found.codes] = True
            columns[name] = decoded((np.cumsum(used) - 1)[found.codes], found.values.filter(pa.array(used)))
        else:
            columns[name] = column.combine_chunks()
    return pa.table(columns)


def places(values: pa.Array, among: pa.Array) -> pa.Array:
    """Where each value stands among distinct others, null where it does not; at once where the two are equal, as
    the ids of two tables of a dataset mostly are."""
    if values.equals(among):
        return pa.array(np.arange(len(values), dtype=np.int32))
    return pc.index_in(values, value_set=among)


def in_one_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary-encoded column with one dictionary for all its pieces, or plain where a dictionary holds a null,
    which pyarrow does not join; a plain column as it is."""
    if not pa.types.is_dictionary(column.type):
        return column
    if any(chunk.dictionary.null_count for chunk in column.chunks):
        return plain(column)
    return _unified(column)


def _unified(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """With one dictionary. Pieces that share theirs are not gone through: pyarrow would, once a piece."""
    if len({_place_of(chunk.dictionary) for chunk in column.chunks}) <= 1:
        return column
    return column.unify_dictionaries()


def _place_of(values: pa.Array) -> tuple[int, ...]:
    """Where an array lies in memory."""
    places = (buffer.address if buffer is not None else 0 for buffer in values.buffers())
    return (len(values), values.offset, *places)
