"""Reading pages against a plain query, on cells that pages do and do not tell."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.msd import sqlite, sqlite_pages
from pipelines.sources.msd.sqlite import SqliteFile
from schemas.errors import UsageError

texts = st.none() | st.sampled_from(
    ["", "a", "é", "\ud7ff\ue000", "𝄞", "a\x1eb", "\x1f", "\x1e", "x\x1fy", "z\x00z", "rock"]
)
small = st.sampled_from([0, 1, 7, 0xD800, 0xDFFF, 0xFFFD, (1 << 20) - 1])
wholes = small | st.none() | st.sampled_from([-1, 1 << 20, 1 << 40, -(2**63), 2**63 - 1])
reals = st.none() | st.sampled_from([0.0, 1.0, 57.5, -3.0, 1e300, 5e-324, 3.0000000001])
scores = small | st.sampled_from([100.0, 0.0, 57.5, -1, -1.0, 1 << 20, 2**53 + 2, 1e300])
gaps = st.sampled_from([1, 1, 1, 1, 2, 5, 1000])
wrong_text = st.sampled_from([5, 2.5, b"\xff\xfe"])
wrong_number = st.sampled_from(["many", b"7", "7", None])


def written(encoding: str, declared: str, rows: list[tuple[int, tuple[Any, ...]]]) -> sqlite3.Connection:
    """A table `t` of rows after gaps; columns without a declared type keep whatever is given."""
    database = sqlite3.connect(":memory:")
    database.execute(f"PRAGMA encoding = '{encoding}'")
    database.execute(f"CREATE TABLE t ({declared})")
    rowid = -3
    for gap, cells in rows:
        rowid += gap
        marks = ", ".join("?" * (1 + len(cells)))
        names = ", ".join(name.split()[0] for name in declared.split(", "))
        database.execute(f"INSERT INTO t (rowid, {names}) VALUES ({marks})", (rowid, *cells))
    database.text_factory = bytes
    return database


def opened(database: sqlite3.Connection) -> SqliteFile:
    database.commit()
    return SqliteFile(database, "t.db", np.frombuffer(database.serialize(), np.uint8))


def plainly(database: sqlite3.Connection, names: str) -> list[tuple[Any, ...]]:
    def text(cell: Any) -> Any:
        return cell.decode() if isinstance(cell, bytes) else cell

    return [tuple(text(cell) for cell in row) for row in database.execute(f"SELECT {names} FROM t ORDER BY rowid")]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_BATCH_ROWS", 3), ("_BATCH_NUMBERS", 6)):
        monkeypatch.setattr(sqlite, name, size)
    monkeypatch.setattr(sqlite_pages, "_BATCH_BYTES", 1024)


encodings = st.sampled_from(["UTF-8", "UTF-8", "UTF-16le"])
bulky = st.tuples(st.sampled_from(["a", "é", None]), st.just("b"), small, reals)


@given(
    encodings, st.lists(st.tuples(gaps, bulky | st.tuples(texts, texts, wholes, reals)), max_size=14), st.booleans()
)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_columns_are_what_a_plain_query_gives(
    encoding: str, rows: list[tuple[int, tuple[Any, ...]]], dense: bool
) -> None:
    rows = [(1, cells) for _, cells in rows] if dense else rows
    kinds = {"a": pa.string(), "b": pa.string(), "n": pa.int64(), "x": pa.float64()}
    with closing(written(encoding, "a text, b text, n int, x real", rows)) as database:
        found = opened(database).columns("t", kinds, ids=True)
        expected = plainly(database, "rowid, a, b, n, x")
    assert found.schema.types == [pa.int64(), *kinds.values()]
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected


@given(encodings, st.lists(st.tuples(gaps, st.tuples(small, small, small | scores)), max_size=14), st.booleans())
@settings(deadline=None, max_examples=300, derandomize=True)
def test_numbers_are_what_a_plain_query_gives(
    encoding: str, rows: list[tuple[int, tuple[Any, ...]]], dense: bool
) -> None:
    rows = [(1, cells) for _, cells in rows] if dense else rows
    with closing(written(encoding, "a int, b, x float", rows)) as database:
        batches = list(opened(database).numbers("t", ("a", "b", "x")))
        expected = plainly(database, "a, b, x")
    found = [cells for batch in batches for cells in zip(*(part.tolist() for part in batch), strict=True)]
    assert found == [tuple(map(float, cells)) for cells in expected]


@given(st.integers(0, 8), st.integers(0, 8), wrong_text, wrong_number)
@settings(deadline=None, max_examples=80, derandomize=True)
def test_a_cell_of_another_type_is_named(before: int, after: int, text: Any, number: Any) -> None:
    def rows(cell: Any) -> list[tuple[int, tuple[Any, ...]]]:
        return [(1, cells) for cells in [("b", 1)] * before + [cell] + [("b", 1)] * after]

    with (
        closing(written("UTF-8", "a, n", rows((text, 1)))) as database,
        pytest.raises(UsageError, match=rf"^t\.db: table 't', column 'a', row {before - 2}: .* is not text$"),
    ):
        opened(database).columns("t", {"a": pa.string(), "n": pa.int64()})
    with (
        closing(written("UTF-8", "a, n", rows(("b", number)))) as database,
        pytest.raises(UsageError, match=rf"^t\.db: table 't', column 'n', row {before - 2}: is no number$"),
    ):
        list(opened(database).numbers("t", ("n",)))
