"""Pages of SQLite files against SQLite's own answers: deep trees, records on several pages, and damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.msd import sqlite_pages
from pipelines.sources.msd.sqlite_pages import NULL, OTHER, REAL, TEXT, WHOLE, DamagedPagesError, table_cells

Bytes = npt.NDArray[np.uint8]
KIND_OF = {"null": NULL, "integer": WHOLE, "real": REAL, "text": TEXT, "blob": OTHER}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_pages, "_BATCH_BYTES", 3 * 512)


def file_of(rows: list[tuple[object, ...]], page_size: int = 512) -> tuple[Bytes, int]:
    """A file with the table t (a, b, c) without declared types, and the table's first page."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"PRAGMA page_size = {page_size}")
        database.execute("CREATE TABLE t (a, b, c)")
        database.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        database.execute("DELETE FROM t WHERE rowid % 7 = 3")
        database.commit()
        (root,) = database.execute("SELECT rootpage FROM sqlite_master").fetchone()
        return np.frombuffer(database.serialize(), np.uint8), root


def read(data: Bytes, root: int, columns: list[int]) -> Iterator[tuple[object, ...]]:
    """Rows as (rowid, kind and value of each column)."""
    for cells in table_cells(data, root, columns):
        texts = [cells.texts(place).to_pylist() for place in range(len(columns))]
        numbers = [cells.numbers(place).tolist() for place in range(len(columns))]
        for row, rowid in enumerate(cells.rowids.tolist()):
            found: list[object] = [rowid]
            for place, kinds in enumerate(cells.kinds):
                kind = int(kinds[row])
                values = {
                    WHOLE: int(cells.values[place, row]),
                    REAL: numbers[place][row],
                    TEXT: texts[place][row],
                }
                found.append((kind, values.get(kind)))
            yield tuple(found)


def expected(rows: list[tuple[object, ...]], columns: list[int]) -> list[tuple[object, ...]]:
    def cell(value: object) -> tuple[int, object]:
        if value is None or isinstance(value, bytes):
            return (NULL if value is None else OTHER), None
        return {int: WHOLE, float: REAL, str: TEXT}[type(value)], value

    kept = [(rowid, row) for rowid, row in enumerate(rows, start=1) if rowid % 7 != 3]
    return [(rowid, *(cell(row[column]) for column in columns)) for rowid, row in kept]


wholes = st.sampled_from([0, 1, -1, 127, -128, 128, 1 << 15, -(1 << 23), 1 << 24, 1 << 40, -(1 << 47), 1 << 60])
cells = (
    st.none()
    | wholes
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.builds(lambda text, times: text * times, st.sampled_from(["x", "é", "ab"]), st.integers(100, 3000))
    | st.binary(max_size=700)
)


@given(
    st.lists(st.tuples(cells, cells, cells), max_size=40),
    st.permutations([0, 1, 2]),
    st.sampled_from([512, 1024, 65536]),
)
@settings(deadline=None, max_examples=200, derandomize=True)
def test_cells_are_what_was_written(rows: list[tuple[object, ...]], columns: list[int], page_size: int) -> None:
    data, root = file_of(rows, page_size)
    assert list(read(data, root, columns)) == expected(rows, columns)


def test_a_tree_of_several_levels() -> None:
    rows: list[tuple[object, ...]] = [(f"TR{number:06d}", number, number / 4) for number in range(20_000)]
    data, root = file_of(rows)
    assert list(read(data, root, [2, 0])) == expected(rows, [2, 0])


def test_a_column_that_older_rows_have_not_stored_is_none_of_the_kinds() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t (a)")
        database.execute("INSERT INTO t VALUES (1)")
        database.execute("ALTER TABLE t ADD COLUMN b DEFAULT 5")
        database.commit()
        data = np.frombuffer(database.serialize(), np.uint8)
    assert list(read(data, 2, [0, 1])) == [(1, (WHOLE, 1), (OTHER, None))]


DAMAGED = [(f"tag {number}", number, "long " * (number % 400)) for number in range(300)]


@given(st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
@settings(deadline=None, max_examples=400, derandomize=True)
def test_damage_is_noticed_or_harmless(changes: list[tuple[int, int]], in_header: bool) -> None:
    data, root = file_of(list(DAMAGED))
    data = data.copy()
    for place, value in changes:
        # Half of the time in the first bytes of pages, where the tree is.
        at = place % len(data) // 512 * 512 + place % 16 if in_header else place % len(data)
        data[at] = value
    data.setflags(write=False)
    try:
        found = list(table_cells(data, root, [0, 1, 2]))
        texts = [part.texts(column) for part in found for column in range(3)]
    except (DamagedPagesError, pa.ArrowInvalid):
        return
    assert sum(len(part.rowids) for part in found) * 3 == sum(map(len, texts))


@pytest.mark.parametrize("kept", [600, 5000, -1])
def test_a_file_that_ends_early_is_damaged(kept: int) -> None:
    data, root = file_of(list(DAMAGED))
    with pytest.raises(DamagedPagesError):
        list(table_cells(data[:kept], root, [0]))


def test_pages_that_lead_back_are_damaged() -> None:
    data, root = file_of(list(DAMAGED))
    looped = data.copy()
    begin = (root - 1) * 512
    looped[begin + 8 : begin + 12] = np.frombuffer(root.to_bytes(4, "big"), np.uint8)
    with pytest.raises(DamagedPagesError):
        list(table_cells(looped, root, [0]))


def leaves_of(data: Bytes) -> list[int]:
    return [begin for begin in range(512, len(data), 512) if data[begin] == 13]


@pytest.mark.parametrize("fewer", [1, 2, 99])
def test_a_page_that_says_it_has_fewer_rows_is_damaged(fewer: int) -> None:
    data, root = file_of(list(DAMAGED))
    for leaf in leaves_of(data):
        lost = data.copy()
        lost[leaf + 4] = max(0, int(lost[leaf + 4]) - fewer)
        with pytest.raises(DamagedPagesError):
            list(table_cells(lost, root, [0]))


def test_rows_that_do_not_ascend_are_damaged() -> None:
    data, root = file_of(list(DAMAGED))
    for leaf in leaves_of(data):
        if data[leaf + 4] > 1:
            swapped = data.copy()
            swapped[leaf + 8 : leaf + 12] = data[[leaf + 10, leaf + 11, leaf + 8, leaf + 9]]
            with pytest.raises(DamagedPagesError):
                list(table_cells(swapped, root, [1]))


def test_a_record_longer_than_its_values_is_damaged() -> None:
    data, root = file_of([("abc", 5, None)])
    begin = (root - 1) * 512
    cell = begin + int.from_bytes(data[begin + 8 : begin + 10].tobytes(), "big")
    # Length, rowid, length of the header, types of text of 3, of a whole number of one byte and of NULL.
    assert data[cell : cell + 6].tolist() == [8, 1, 4, 19, 1, 0]
    for place, value in ((3, 17), (4, 8), (4, 2), (2, 3), (5, 10)):
        longer = data.copy()
        longer[cell + place] = value
        with pytest.raises(DamagedPagesError):
            list(table_cells(longer, root, [0]))
