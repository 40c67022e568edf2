"""Tables of the published SQLite files as Arrow columns, without a Python object a row for longer than a batch."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.published_files import PublishedFiles
from schemas.errors import UsageError

_BATCH_ROWS = 4_000
_BATCH_NUMBERS = 3_000_000
_BATCH_LETTERS = 1 << 20
_BATCH_TEXTS = 1 << 16
_MOST = (1 << 20) - 1
# Signs that no name or tag holds; one that does is read otherwise.
_NULL, _NEXT = "\x1f", "\x1e"
_HEADER = b"SQLite format 3\x00"
_KINDS = {pa.string(): "text", pa.float64(): "a number", pa.int64(): "a whole number"}
Columns = Mapping[str, pa.DataType]


class SqliteFile:
    """One open file. Text comes as bytes from SQLite and is checked as it becomes Arrow."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where

    def columns(self, table: str, columns: Columns, *, ids: bool = False) -> pa.Table:
        """Columns of a table, in the order of its rowids.

        Args:
            columns: the type of each: string, float64 or int64. NULL is null.
            ids: whether a column `rowid` (int64) comes first.

        Raises:
            UsageError: naming the file, table, column and row that is not as published.
        """
        self._check(table, columns)
        made = self._in_bulk(table, columns) or self._row_by_row(table, columns)
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

    def _in_bulk(self, table: str, columns: Columns) -> dict[str, pa.Array] | None:
        """The same as `_row_by_row`, many rows of a column in one text that SQLite puts together (see `_letters`);
        None where a cell is not of its column's type, a text holds one of the two signs that are used here, or a
        whole number is large."""
        bounds = self._bounds(table)
        if bounds is None:
            return None
        texts = [_quoted([name]) for name, kind in columns.items() if kind == pa.string()]
        numbers = [name for name, kind in columns.items() if kind == pa.int64()]
        odd = [f"typeof({text}) NOT IN ('text', 'null')" for text in texts]
        odd += [f"NOT coalesce({_is_small(name)}, 0)" for name in ("rowid", *numbers)]
        asked = [
            "count(*)",
            f"total({' OR '.join(odd)})",
            _letters(["rowid", *numbers]),
            *(f"count({text}), group_concat(coalesce({text}, '{_NULL}'), '{_NEXT}')" for text in texts),
        ]
        names = ["rowid", *columns]
        batches: list[list[pa.Array]] = [[] for _ in names]
        for start in range(bounds[0], bounds[1] + 1, _BATCH_TEXTS):
            inside = f"FROM {_quoted([table])} WHERE rowid BETWEEN {start} AND {start + _BATCH_TEXTS - 1}"
            with self._asked(f"SELECT {', '.join(asked)} {inside}") as cursor:
                rows, wrong, letters, *found = cursor.fetchone()
            if rows == 0:
                continue
            parts = [_split(*cells, rows) for cells in zip(found[::2], found[1::2], strict=True)]
            if wrong or None in parts:
                return None
            cells = _numbers(letters, 1 + len(numbers))
            whole = [pa.array(cells[:, place], pa.int64()) for place in range(1 + len(numbers))]
            if np.any(np.diff(cells[:, 0]) <= 0):
                return None
            for batch, (name, kind) in zip(batches, [("rowid", pa.int64()), *columns.items()], strict=True):
                if kind == pa.float64():
                    with self._asked(f"SELECT {_quoted([name])} {inside} ORDER BY rowid") as cursor:
                        reals = [cell for (cell,) in cursor]
                    batch.append(self._array(table, name, kind, reals, cells[:, 0].tolist()))
                else:
                    batch.append(whole.pop(0) if kind == pa.int64() else parts.pop(0))
        return _joined(names, [pa.int64(), *columns.values()], batches)

    def _bounds(self, table: str) -> tuple[int, int] | None:
        """The first and the last rowid; None when there is no row, when few between them are in use, or when the
        file's text is UTF-16, through which not every letter comes unharmed."""
        with self._asked("PRAGMA encoding") as cursor:
            (encoding,) = cursor.fetchone()
        with self._asked(f"SELECT count(*) FROM {_quoted([table])}") as cursor:  # noqa: S608 - our own names, quoted
            (rows,) = cursor.fetchone()
        with self._asked(f"SELECT min(rowid), max(rowid) FROM {_quoted([table])}") as cursor:  # noqa: S608 - our own names, quoted
            first, last = cursor.fetchone()
        return (first, last) if rows and last - first < 2 * rows and encoding == b"UTF-8" else None

    def numbers(self, table: str, columns: Sequence[str]) -> Iterator[list[npt.NDArray[np.float64]]]:
        """Columns of numbers, about a million rows at a time, in no order.

        Yields:
            one float64 array a column.

        Raises:
            UsageError: naming the file, table and column and row that is not as published; NULL is not.
        """
        self._check(table, dict.fromkeys(columns, pa.float64()))
        batches = self._small_numbers(table, columns)
        yield from self._one_by_one(table, columns) if batches is None else batches

    def _small_numbers(self, table: str, columns: Sequence[str]) -> list[list[npt.NDArray[np.float64]]] | None:
        """The columns when all their cells are small whole numbers, as the published ones are; else None."""
        bounds = self._bounds(table)
        if bounds is None:
            return None
        small = " AND ".join(_is_small(name) for name in columns)
        batches = []
        for start in range(bounds[0], bounds[1] + 1, _BATCH_LETTERS):
            inside = f"FROM {_quoted([table])} WHERE rowid BETWEEN {start} AND {start + _BATCH_LETTERS - 1}"
            with self._asked(f"SELECT count(*), {_letters(columns)} FILTER (WHERE {small}) {inside}") as cursor:
                rows, letters = cursor.fetchone()
            cells = _numbers(letters or b"", len(columns))
            if len(cells) != rows:
                return None
            batches.append([cells[:, place].astype(np.float64) for place in range(len(columns))])
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
        with self._asked(f"SELECT name FROM pragma_table_info({_quoted([table], chr(39))})") as cursor:  # noqa: S608 - our own names, quoted
            found = [name.decode("utf-8", "replace") for (name,) in cursor]
        if not found:
            raise UsageError(f"{self._where}: has no table {table!r}; is it the published file?")
        if missing := [name for name in columns if name not in found]:
            known = ", ".join(sorted(found))
            raise UsageError(f"{self._where}: table {table!r} has no column {missing[0]!r} (it has {known})")

    def _wrong(self, table: str, column: str, rowid: int, problem: str) -> UsageError:
        return UsageError(f"{self._where}: table {table!r}, column {column!r}, row {rowid}: {problem}")

    @contextmanager
    def _asked(self, query: str) -> Iterator[sqlite3.Cursor]:
        try:
            with closing(self._connection.execute(query)) as cursor:
                yield cursor
        except (sqlite3.Error, OverflowError) as error:
            raise UsageError(f"{self._where}: cannot be read as SQLite ({error}); get it again") from error


@contextmanager
def opened_sqlite(files: PublishedFiles, key: str) -> Iterator[SqliteFile]:
    """Open a published SQLite file for reading; one that is remote or packed is copied to a temporary file first.

    Raises:
        UsageError: it is no SQLite file.
    """
    with files.opened(key) as stream:
        if stream.read(len(_HEADER)) != _HEADER:
            raise UsageError(f"{files.where(key)}: is no SQLite file")
    path = files.store.local_path(files.path(key))
    if path is not None and path.suffix != ".gz":
        with _connected(path, files.where(key)) as file:
            yield file
        return
    with tempfile.TemporaryDirectory(prefix="tracklore-") as folder:
        copy = Path(folder) / "copy.db"
        with files.opened(key) as stream, copy.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 22)
        with _connected(copy, files.where(key)) as file:
            yield file


@contextmanager
def _connected(path: Path, where: str) -> Iterator[SqliteFile]:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        raise UsageError(f"{where}: cannot be opened ({error})") from error
    with closing(connection):
        connection.text_factory = bytes
        yield SqliteFile(connection, where)


def _is_small(name: str) -> str:
    """An SQL expression: whether a cell is a whole number that a letter can stand for. Text is no such number."""
    return f"{_quoted([name])} & {_MOST} = {_quoted([name])}"


def _letters(names: Sequence[str]) -> str:
    """An SQL expression: small whole numbers of many rows as one text, a number a letter.

    Millions of cells are thrice as fast in one text as they are as Python objects, and while SQLite writes it,
    Python's other threads work. The letter is one further on: letter 0 would end the text.
    """
    return f"group_concat(char({', '.join(f'{_quoted([name])} + 1' for name in names)}), '')"


def _numbers(letters: bytes, columns: int) -> npt.NDArray[np.int64]:
    """(rows, columns) what `_letters` stands for."""
    points = letters.decode("utf-8", "surrogatepass").encode("utf-32-le", "surrogatepass")
    return np.frombuffer(points, "<u4").astype(np.int64).reshape(-1, columns) - 1


def _split(count: int, text: bytes, rows: int) -> pa.Array | None:
    """The cells of a text column, `count` of `rows` not null; None when it is not UTF-8 or holds the signs."""
    try:
        cells = pc.split_pattern(pa.array([text]).cast(pa.string()), _NEXT).values
    except pa.ArrowInvalid:
        return None
    if count < rows:
        cells = pc.if_else(pc.equal(cells, _NULL), None, cells)
    return cells if (len(cells), len(cells) - cells.null_count) == (rows, count) else None


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
        raise pa.ArrowInvalid("a fraction")  # which pyarrow would cut off
    return pa.array(cells, kind)


def _quoted(names: Sequence[str], sign: str = '"') -> str:
    return ", ".join(sign + name.replace(sign, sign * 2) + sign for name in names)


def _shown(cell: Any) -> str:
    text = cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else cell
    return repr(text)[:60]
