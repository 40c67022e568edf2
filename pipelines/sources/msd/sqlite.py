"""Tables of the published SQLite files as Arrow columns: from their pages, or by SQLite where those do not tell."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.sources.msd.sqlite_pages import (
    NULL,
    REAL,
    TEXT,
    WHOLE,
    Bytes,
    Cells,
    DamagedPagesError,
    table_cells,
)
from pipelines.sources.published_files import PublishedFiles
from pipelines.temporary import temporary_folder
from schemas.errors import UsageError
from schemas.store import Store

_BATCH_ROWS = 4_000
_BATCH_NUMBERS = 3_000_000
# The largest whole number up to which a float64 holds each.
_EXACT = 1 << 53
_HEADER = b"SQLite format 3\x00"
# A journal that was kept begins so when nothing in it counts.
_ZEROED = b"\x00"
_KINDS = {pa.string(): "text", pa.float64(): "a number", pa.int64(): "a whole number"}
Columns = Mapping[str, pa.DataType]


class SqliteFile:
    """One open file. Text comes as bytes from SQLite and is checked as it becomes Arrow."""

    def __init__(self, connection: sqlite3.Connection, where: str, pages: Bytes | None = None) -> None:
        """`pages` is the file's content (uint8, with its header); without it the library reads every cell."""
        self._connection = connection
        self._where = where
        self._pages = pages

    def columns(self, table: str, columns: Columns, *, ids: bool = False) -> pa.Table:
        """Columns of a table, in the order of its rowids.

        Args:
            columns: the type of each: string, float64 or int64, which takes reals without a fraction. NULL is null.
            ids: whether a column `rowid` (int64) comes first.

        Raises:
            UsageError: naming the file, table, column and row that is not as published.
        """
        self._check(table, columns)
        made = self._from_pages(table, columns) or self._row_by_row(table, columns)
        return pa.table(made if ids else {name: made[name] for name in columns})

    def _row_by_row(self, table: str, columns: Columns) -> dict[str, pa.Array]:
        names = ["rowid", *columns]
        kinds = [pa.int64(), *columns.values()]
        batches: list[list[pa.Array]] = [[] for _ in names]
        with self._asked(f"SELECT {_quoted(names)} FROM {_quoted([table])} ORDER BY rowid") as cursor:  # noqa: S608 - our own names, quoted
            while rows := cursor.fetchmany(_BATCH_ROWS):
                cells = list(zip(*rows, strict=True))
                for place, (name, kind) in enumerate(zip(names, kinds, strict=True)):
                    batches[place].append(self._array(table, name, kind, cells[place], cells[0]))
        return _joined(names, kinds, batches)

    def _from_pages(self, table: str, columns: Columns) -> dict[str, pa.Array] | None:
        """The same as `_row_by_row`; None where the pages do not tell, or a cell is not of its column's type."""
        kinds = [pa.int64(), *columns.values()]
        batches: list[list[pa.Array]] = [[] for _ in kinds]
        try:
            for cells in self._cells(table, list(columns)):
                made = [_column(cells, place, kind) for place, kind in enumerate(columns.values())]
                if any(column is None for column in made):
                    return None
                for batch, column in zip(batches, [pa.array(cells.rowids), *made], strict=True):
                    batch.append(column)
        except (DamagedPagesError, pa.ArrowInvalid):
            return None
        return _joined(["rowid", *columns], kinds, batches)

    def _cells(self, table: str, columns: Sequence[str]) -> Iterator[Cells]:
        """Columns of a table from the file's pages.

        Raises:
            DamagedPagesError: the pages alone do not tell what the columns hold, or are damaged.
        """
        with self._asked("PRAGMA encoding") as cursor:
            (encoding,) = cursor.fetchone()
        at = "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE"
        with self._asked(at, table) as cursor:
            (root,) = cursor.fetchone() or (0,)
        with self._asked("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?)", table) as cursor:
            declared = cursor.fetchall()
        names = [name.decode("utf-8", "replace") for name, *_ in declared]
        places = [names.index(name) for name in columns]
        # Such a key is the rowid, and not in the record; what is generated need not be there at all.
        apart = any(declared[place][2] and declared[place][1].upper() == b"INTEGER" for place in places)
        if self._pages is None or encoding != b"UTF-8" or apart or any(hidden for *_, hidden in declared):
            raise DamagedPagesError
        yield from table_cells(self._pages, root, places)

    def numbers(self, table: str, columns: Sequence[str]) -> Iterator[list[npt.NDArray[np.float64]]]:
        """Columns of numbers, about a million rows at a time, in no order.

        Yields:
            one float64 array a column.

        Raises:
            UsageError: naming the file, table and column and row that is not as published; NULL is not.
        """
        self._check(table, dict.fromkeys(columns, pa.float64()))
        batches = self._numbers_from_pages(table, columns)
        yield from self._one_by_one(table, columns) if batches is None else batches

    def _numbers_from_pages(self, table: str, columns: Sequence[str]) -> list[list[npt.NDArray[np.float64]]] | None:
        """The columns; None where the pages do not tell, or a cell is no number."""
        batches = []
        try:
            for cells in self._cells(table, columns):
                if not np.all((cells.kinds == WHOLE) | (cells.kinds == REAL)):
                    return None
                batches.append([cells.numbers(place) for place in range(len(columns))])
        except DamagedPagesError:
            return None
        return batches

    def _one_by_one(self, table: str, columns: Sequence[str]) -> Iterator[list[npt.NDArray[np.float64]]]:
        odd = {column: f"typeof({_quoted([column])}) NOT IN ('integer', 'real')" for column in columns}
        # One look at every row for all columns, and a second one only for the name of the wrong one.
        for names in (list(odd), *([name] for name in odd)):
            where = " OR ".join(odd[name] for name in names)
            with self._asked(
                f"SELECT rowid FROM {_quoted([table])} WHERE {where} LIMIT 1"  # noqa: S608 - our own names, quoted
            ) as cursor:
                found = cursor.fetchone()
            if found and len(names) == 1:
                raise self._wrong(table, names[0], found[0], "is no number")
            if not found and len(names) > 1:
                break
        with self._asked(f"SELECT {_quoted(columns)} FROM {_quoted([table])}") as cursor:  # noqa: S608 - our own names, quoted
            cells: Iterator[float] = chain.from_iterable(cursor)
            width = len(columns)
            size = _BATCH_NUMBERS // width * width
            while (values := np.fromiter(islice(cells, size), np.float64)).size:
                yield [values[place::width] for place in range(width)]

    def _array(
        self, table: str, name: str, kind: pa.DataType, cells: Sequence[Any], ids: Sequence[int]
    ) -> pa.Array:
        try:
            return _converted(cells, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeError, OverflowError):
            pass
        for rowid, cell in zip(ids, cells, strict=True):
            try:
                _converted([cell], kind)
            except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeError, OverflowError):
                raise self._wrong(table, name, rowid, f"{_shown(cell)} is not {_KINDS[kind]}") from None
        raise AssertionError(f"{table}.{name}: the cells fit one by one")

    def _check(self, table: str, columns: Columns) -> None:
        with self._asked("SELECT name FROM pragma_table_info(?)", table) as cursor:
            found = [name.decode("utf-8", "replace") for (name,) in cursor]
        if not found:
            raise UsageError(f"{self._where}: has no table {table!r}; is it the published file?")
        if missing := [name for name in columns if name not in found]:
            known = ", ".join(sorted(found))
            raise UsageError(f"{self._where}: table {table!r} has no column {missing[0]!r} (it has {known})")

    def _wrong(self, table: str, column: str, rowid: int, problem: str) -> UsageError:
        return UsageError(f"{self._where}: table {table!r}, column {column!r}, row {rowid}: {problem}")

    @contextmanager
    def _asked(self, query: str, *values: str) -> Iterator[sqlite3.Cursor]:
        try:
            with closing(self._connection.execute(query, values)) as cursor:
                yield cursor
        except (sqlite3.Error, OverflowError) as error:
            raise UsageError(f"{self._where}: cannot be read as SQLite ({error}); get it again") from error


@contextmanager
def opened_sqlite(files: PublishedFiles, key: str) -> Iterator[SqliteFile]:
    """Open a published SQLite file for reading; one that is remote or packed is copied to a temporary file first.

    Raises:
        UsageError: it is no SQLite file, or is not whole without a file beside it.
    """
    with files.opened(key) as stream:
        if stream.read(len(_HEADER)) != _HEADER:
            raise UsageError(f"{files.where(key)}: is no SQLite file")
    _require_settled(files, key)
    path = files.store.local_path(files.path(key))
    if path is not None and path.suffix != ".gz":
        with _connected(path, files.where(key)) as file:
            yield file
        return
    with temporary_folder() as folder:
        copy = folder / "copy.db"
        with files.opened(key) as stream, copy.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 22)
        with _connected(copy, files.where(key)) as file:
            yield file


def _require_settled(files: PublishedFiles, key: str) -> None:
    """SQLite would read a log or journal beside its file, too; an immutable one is read without.

    Raises:
        UsageError: there is one.
    """
    where, path = files.where(key), files.store.local_path(files.path(key))
    # SQLite looks for them beside the file that a link leads to.
    names = [where] if path is None else sorted({str(path), os.path.realpath(path)})
    for folder, _, name in (name.rpartition("/") for name in names):
        for ending in ("-wal", "-journal"):
            if _begins(Store(folder or "/"), name + ending) not in (b"", _ZEROED):
                raise UsageError(
                    f"{where}: is not whole without {folder}/{name}{ending}; open it once where it may be written, "
                    f"with sqlite3 {name} .tables, which takes that file in"
                )


def _begins(folder: Store, name: str) -> bytes:
    """The first byte of a file, none if it is not there or empty."""
    if not folder.exists(name):
        return b""
    with folder.open(name) as stream:
        return stream.read(1)


@contextmanager
def _connected(path: Path, where: str) -> Iterator[SqliteFile]:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        raise UsageError(f"{where}: cannot be opened ({error})") from error
    with closing(connection):
        connection.text_factory = bytes
        yield SqliteFile(connection, where, np.memmap(path, np.uint8, "r").view(np.ndarray))


def _column(cells: Cells, place: int, kind: pa.DataType) -> pa.Array | None:
    """A column as Arrow; None when a cell is not of its type.

    Raises:
        pa.ArrowInvalid: a text is not UTF-8.
    """
    kinds = cells.kinds[place]
    missing = kinds == NULL
    if kind == pa.string():
        return cells.texts(place) if np.all(missing | (kinds == TEXT)) else None
    if kind == pa.int64():
        return pa.array(cells.values[place], mask=missing) if np.all(missing | (kinds == WHOLE)) else None
    exact = (kinds == WHOLE) & (cells.values[place] >= -_EXACT) & (cells.values[place] <= _EXACT)
    return pa.array(cells.numbers(place), mask=missing) if np.all(missing | exact | (kinds == REAL)) else None


def _joined(
    names: Sequence[str], kinds: Sequence[pa.DataType], batches: list[list[pa.Array]]
) -> dict[str, pa.Array]:
    """The columns of one piece each; `batches` is emptied, so that a table is there twice in one column only."""
    made = {}
    for name, kind in zip(names, kinds, strict=True):
        parts = batches.pop(0)
        made[name] = pa.concat_arrays(parts) if parts else pa.array([], kind)
    return made


def _converted(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.int64() and float in map(type, cells):
        # A column of reals holds whole ones as whole numbers, and pages say so: those are taken here too.
        cells = [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]
        if float in map(type, cells):
            raise pa.ArrowInvalid("a fraction")  # which pyarrow would cut off
    return pa.array(cells, kind)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def _shown(cell: Any) -> str:
    text = cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else cell
    return repr(text)[:60]
