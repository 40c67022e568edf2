"""The cells of a SQLite table, straight from its pages (sqlite.org: Database File Format, 1.3 to 2.1).

Eight million rows are ten times as fast to read so as through the library, which makes Python objects of them.
Only what is plain is read here; whoever asks goes to the library with everything else, and for what is wrong. So
pages are looked at more closely than a reader needs: what is doubted is slower, what is not noticed is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

NULL, WHOLE, REAL, TEXT, OTHER = 0, 1, 2, 3, 4
_INTERIOR, _LEAF = 5, 13
_BATCH_BYTES = 32 << 20
_MOST_BYTES = (1 << 31) - 1
_RESERVED_AT = 20
_PAGE_SIZE_AT = 16
# Bits of a float64: all but the sign, and those of infinity, above which only NaN is.
_SIGNLESS, _INFINITE = np.int64(0x7FFF_FFFF_FFFF_FFFF), np.int64(0x7FF0_0000_0000_0000)


class DamagedPagesError(Exception):
    """Pages that are no table's, or not whole."""


@dataclass(frozen=True)
class Cells:
    """Some rows of a table, in the order of their rowids.

    Attributes:
        rowids: int64 (rows,).
        kinds: uint8 (columns, rows), NULL, WHOLE, REAL, TEXT or OTHER (a blob, or a cell that is not stored).
        values: int64 (columns, rows): a whole number, the bits of a float64, or where a text begins.
        sizes: int32 (columns, rows), bytes of a text.
        data, spilled: what texts lie in: the file from 0 on, and, from -1 down, what was on several pages.
    """

    rowids: Numbers
    kinds: Bytes
    values: Numbers
    sizes: npt.NDArray[np.int32]
    data: Bytes
    spilled: Bytes

    def numbers(self, column: int) -> npt.NDArray[np.float64]:
        """A column of numbers as float64 (rows,); what is none has no meaning."""
        values, real = self.values[column], self.kinds[column] == REAL
        reals: npt.NDArray[np.float64] = values.view(np.float64)
        return reals if real.all() else np.where(real, reals, values.astype(np.float64))

    def texts(self, column: int) -> pa.Array:
        """A column of texts, those that are none null.

        Raises:
            pa.ArrowInvalid: a text is not UTF-8.
            DamagedPagesError: texts of more bytes than pages hold.
        """
        there = self.kinds[column] == TEXT
        offsets = np.zeros(len(there) + 1, np.int64)
        np.cumsum(np.where(there, self.sizes[column], 0), out=offsets[1:])
        if offsets[-1] > _MOST_BYTES:
            raise DamagedPagesError
        letters = np.empty(int(offsets[-1]), np.uint8)
        _copy_texts(self.data, self.spilled, self.values[column], there, offsets, letters)
        mask = None if there.all() else pa.array(there).buffers()[1]
        ends = pa.py_buffer(offsets.astype(np.int32))
        return pa.Array.from_buffers(pa.binary(), len(there), [mask, ends, pa.py_buffer(letters)]).cast(pa.string())


def table_cells(data: Bytes, root: int, columns: Sequence[int]) -> Iterator[Cells]:
    """Columns of a table, some pages at a time.

    Args:
        data: the whole file; it has a SQLite header.
        root: the number of the table's first page, from 1.
        columns: places of the columns in the table's declaration.

    Raises:
        DamagedPagesError: the pages are not as they should be.
    """
    declared = int(data[_PAGE_SIZE_AT]) << 8 | int(data[_PAGE_SIZE_AT + 1])
    size = 1 << 16 if declared == 1 else declared
    usable = size - int(data[_RESERVED_AT])
    if size < 512 or size & (size - 1) or usable < 480 or root < 2:
        raise DamagedPagesError
    order = np.argsort(np.asarray(columns, np.int64), kind="stable")
    wanted = np.asarray(columns, np.int64)[order]
    last = np.empty(0, np.int64)
    try:
        leaves, rows = _leaves(data, size, root)
        at_once = max(1, _BATCH_BYTES // size)
        for start in range(0, len(leaves), at_once):
            some, count = leaves[start : start + at_once], int(rows[start : start + at_once].sum())
            rowids, begins, lengths, spilled = _payloads(data, some, size, usable, count)
            ordered = np.append(last, rowids)
            if np.any(ordered[1:] <= ordered[:-1]):
                raise DamagedPagesError
            last = ordered[-1:]
            kinds = np.full((len(wanted), count), OTHER, np.uint8)
            values = np.zeros((len(wanted), count), np.int64)
            sizes = np.zeros((len(wanted), count), np.int32)
            _fields(data, spilled, begins, lengths, wanted, order, kinds, values, sizes)
            yield Cells(rowids, kinds, values, sizes, data, spilled)
    except (IndexError, ValueError) as error:  # what compiled code can raise
        raise DamagedPagesError from error


def _compiled(function: Any) -> Any:
    """Compiled, and still not reading outside of its arrays: the file may hold any number."""
    return njit(cache=True, nogil=True, boundscheck=True)(function)


@_compiled
def _big(data: Bytes, at: int, size: int) -> np.int64:
    """A big-endian number without a sign."""
    value = np.int64(0)
    for place in range(at, at + size):
        value = (value << 8) | np.int64(data[place])
    return value


@_compiled
def _varint(data: Bytes, at: int) -> tuple[np.int64, int]:
    """A number of one to nine bytes, and where the next thing is."""
    value = np.int64(0)
    for place in range(at, at + 8):
        byte = np.int64(data[place])
        value = (value << 7) | (byte & 127)
        if byte < 128:
            return value, place + 1
    return (value << 8) | np.int64(data[at + 8]), at + 9


@_compiled
def _leaves(data: Bytes, size: int, root: int) -> tuple[Numbers, Numbers]:
    """Where the pages that hold a table's rows begin, from left to right, and how many rows each holds."""
    most = len(data) // size
    waiting = np.empty(most + 1, np.int64)
    leaves, rows = np.empty(most, np.int64), np.empty(most, np.int64)
    waiting[0], left, seen, found = root, 1, 0, 0
    while left > 0:
        left -= 1
        page = waiting[left]
        seen += 1
        if page < 2 or page > most or seen > most:
            raise ValueError("a page that is not there, or one for the second time")
        begin = (page - 1) * size
        count = _big(data, begin + 3, 2)
        if 2 * count + 8 > size:
            raise ValueError("more rows than the page can hold")
        if count == 0 and (page != root or data[begin] != _LEAF):
            raise ValueError("a page of nothing, and only an empty table has one")
        if data[begin] == _LEAF:
            leaves[found], rows[found] = begin, count
            found += 1
        elif data[begin] == _INTERIOR:
            if left + count + 1 + seen > most:
                raise ValueError("more pages than there are")
            waiting[left] = _big(data, begin + 8, 4)
            left += 1
            for cell in range(count - 1, -1, -1):
                waiting[left] = _big(data, begin + _big(data, begin + 12 + 2 * cell, 2), 4)
                left += 1
        else:
            raise ValueError("no page of a table")
    return leaves[:found], rows[:found]


@_compiled
def _free(data: Bytes, leaf: int, first: int, usable: int) -> np.int64:
    """Bytes of a page that no row has, from where its first row may begin: those in its list, and the crumbs."""
    free, block = np.int64(data[leaf + 7]), _big(data, leaf + 1, 2)
    least = np.int64(first)
    while block != 0:
        if block < least or block + 4 > usable:
            raise ValueError("a free place where there can be none")
        size = _big(data, leaf + block + 2, 2)
        free += size
        least = block + max(size, 4)
        block = _big(data, leaf + block, 2)
    return free


@_compiled
def _payloads(
    data: Bytes, leaves: Numbers, size: int, usable: int, rows: int
) -> tuple[Numbers, Numbers, Numbers, Bytes]:
    """The rowid of each row, where its record begins (see `Cells.data`) and how long it is; and what was on
    several pages."""
    rowids, begins, lengths = np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int64)
    spilled, used, row = np.empty(0, np.uint8), 0, 0
    for leaf in leaves:
        count = _big(data, leaf + 3, 2)
        content = _big(data, leaf + 5, 2)
        first = 1 << 16 if content == 0 else content
        if first < 8 + 2 * count:
            raise ValueError("rows where the page's list of them is")
        # Each byte from there on is a row's, or free; rows that overlap or are left out would not add up.
        known = first + _free(data, leaf, first, usable)
        for cell in range(count):
            start = _big(data, leaf + 8 + 2 * cell, 2)
            if start < first:
                raise ValueError("a row where the page has none")
            length, at = _varint(data, leaf + start)
            rowids[row], at = _varint(data, at)
            begins[row], lengths[row] = at, length
            row += 1
            local = length
            if length > usable - 35:
                least = (usable - 12) * 32 // 255 - 23
                local = least + (length - least) % (usable - 4)
                if local > usable - 35:
                    local = least
            if length < 0 or length > len(data) or at + local > leaf + usable:
                raise ValueError("a record beyond its page")
            known += max(4, at + local - leaf - start + (0 if local == length else 4))
            if local == length:
                continue
            if used + length > len(data):
                raise ValueError("more than the file holds")
            if used + length > len(spilled):
                larger = np.empty(2 * (used + length), np.uint8)
                larger[:used] = spilled[:used]
                spilled = larger
            begins[row - 1] = -1 - used
            end = used + length
            page = _big(data, at + local, 4)
            while True:
                for place in range(local):
                    spilled[used + place] = data[at + place]
                used += local
                if used == end:
                    break
                if page < 2 or page > len(data) // size:
                    raise ValueError("a page that is not there")
                at = (page - 1) * size + 4
                local = min(usable - 4, end - used)
                page = _big(data, at - 4, 4)
        if known != usable:
            raise ValueError("a page whose rows are not all there")
    return rowids, begins, lengths, spilled[:used]


@_compiled
def _fields(
    data: Bytes,
    spilled: Bytes,
    begins: Numbers,
    lengths: Numbers,
    wanted: Numbers,
    order: Numbers,
    kinds: Bytes,
    values: Numbers,
    sizes: npt.NDArray[np.int32],
) -> None:
    """Fill `kinds`, `values` and `sizes`; `wanted` ascends, and `order` says where each goes."""
    for row in range(len(begins)):
        here = begins[row] >= 0
        inside, begin = (data, begins[row]) if here else (spilled, -1 - begins[row])
        end = begin + lengths[row]
        header, at = _varint(inside, begin)
        if header < 0 or header > lengths[row]:
            raise ValueError("a header beyond its record")
        value, column, place = begin + header, 0, 0
        while at < begin + header:
            serial, at = _varint(inside, at)
            if serial < 0 or serial == 10 or serial == 11:
                raise ValueError("no type")
            length = _length(serial)
            if length > end - value:
                raise ValueError("a value beyond its record")
            while place < len(wanted) and wanted[place] == column:
                number = order[place]
                place += 1
                if serial == 0:
                    kinds[number, row] = NULL
                elif serial == 7:
                    bits = _big(inside, value, 8)
                    # SQLite has no NaN: it reads one as NULL.
                    kinds[number, row] = NULL if bits & _SIGNLESS > _INFINITE else REAL
                    values[number, row] = bits
                elif serial < 10:
                    kinds[number, row] = WHOLE
                    values[number, row] = _whole(inside, value, serial)
                elif serial >= 13 and serial % 2 == 1:
                    kinds[number, row] = TEXT
                    values[number, row] = value if here else -1 - value
                    sizes[number, row] = length
            value += length
            column += 1
        if at != begin + header or value != end:
            raise ValueError("a record that is not as long as its values")


@_compiled
def _length(serial: int) -> int:
    """Bytes of a value, by its type."""
    if serial < 5:
        return serial
    if serial == 5:
        return 6
    if serial < 8:
        return 8
    return 0 if serial < 12 else (serial - 12) // 2


@_compiled
def _whole(data: Bytes, at: int, serial: int) -> np.int64:
    """A whole number with its sign."""
    if serial >= 8:
        return np.int64(serial - 8)
    length = _length(serial)
    value: np.int64 = _big(data, at, length)
    return value - (np.int64(1) << (8 * length)) if length < 8 and value >> (8 * length - 1) else value


@_compiled
def _copy_texts(
    data: Bytes,
    spilled: Bytes,
    begins: Numbers,
    there: npt.NDArray[np.bool_],
    offsets: Numbers,
    letters: Bytes,
) -> None:
    for row in range(len(begins)):
        if there[row]:
            begin, start, length = begins[row], offsets[row], offsets[row + 1] - offsets[row]
            if begin >= 0:
                for place in range(length):
                    letters[start + place] = data[begin + place]
            else:
                for place in range(length):
                    letters[start + place] = spilled[-1 - begin + place]
