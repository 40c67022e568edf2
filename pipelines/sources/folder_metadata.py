"""The CSV beside a folder's files, as columns."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.progress import beat
from pipelines.sources.probes import ROWS_AT_ONCE, TEXT
from schemas.coded import coded, places
from schemas.errors import UsageError, suggest
from schemas.store import Store

COLUMNS = ("path", "track_id", "artist", "album", "title", "year", "genre", "tags", "licence")
METADATA = pa.schema([(name, pa.int32() if name == "year" else TEXT) for name in COLUMNS])


def read_metadata(store: Store, name: str) -> pa.Table:
    """Read a CSV in UTF-8 with a column `path` and any of `COLUMNS`.

    Returns:
        as `METADATA`, each path once, clean and relative; values without blanks at their ends, null in the columns
        that the file lacks.

    Raises:
        UsageError: it is no CSV, has an unknown column, or a row of other columns, without a path, with one that
            another has or with a year that is none.
        OSError: it cannot be read.
    """
    where = f"{store.root}/{name}"
    parts: list[pa.RecordBatch] = []
    numbers = array("q")
    with store.open(name) as stream:
        # Bytes that are no UTF-8 come as lone surrogates, so that their row can be told.
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        rows = csv.reader(text, strict=True)
        header = _checked_header(_next(rows, 1, where) or [], where)
        columns: list[list[Any]] = [[] for _ in header]
        for number, cells in _rows(rows, header, where):
            numbers.append(number)
            for column, value in zip(columns, cells, strict=True):
                column.append(value)
            if len(columns[0]) == ROWS_AT_ONCE:
                beat()
                parts.append(_part(header, columns))
                columns = [[] for _ in header]
    # In one piece, of which parts can be taken at no cost.
    table = pa.Table.from_batches([*parts, _part(header, columns)], METADATA).combine_chunks()
    repeated = _first_repeated(table.column("path"))
    if repeated is not None:
        raise UsageError(
            f"{where}: row {numbers[repeated]}: {table.column('path')[repeated].as_py()!r} stands twice"
        )
    return table


def metadata_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """As `METADATA`, from rows of some of its columns."""
    return pa.Table.from_pylist(list(rows), schema=METADATA)


def said_of(metadata: pa.Table, paths: pa.ChunkedArray) -> tuple[pa.Array | pa.ChunkedArray, pa.Table]:
    """For each path (paths) the number of its row in `metadata` or null; and the rows of none of them."""
    found = places(paths, metadata.column("path"))
    met = np.zeros(metadata.num_rows, bool)
    met[found.drop_null().to_numpy()] = True
    return found, metadata.filter(pa.array(~met))


def _next(rows: Iterator[list[str]], number: int, where: str) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise UsageError(f"{where}: is no CSV in UTF-8 (row {number}: {error})") from error


def _require_text(cells: list[str], number: int, where: str) -> None:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: is no CSV in UTF-8 (row {number})") from error


def _checked_header(header: list[str], where: str) -> list[str]:
    _require_text(header, 1, where)
    if "path" not in header:
        raise UsageError(f"{where}: has no column 'path'; its columns: {', '.join(header)}")
    for column in header:
        if column not in COLUMNS:
            raise UsageError(f"{where}: unknown column {column!r}{suggest(column, COLUMNS)}")
        if header.count(column) > 1:
            raise UsageError(f"{where}: column {column!r} stands twice")
    return header


def _rows(rows: Iterator[list[str]], header: Sequence[str], where: str) -> Iterator[tuple[int, list[Any]]]:
    """Each row that is not empty with its number, its path clean and its other values tidied."""
    place = header.index("path")
    year = header.index("year") if "year" in header else None
    number = 1
    while (cells := _next(rows, number + 1, where)) is not None:
        number += 1
        if not cells:
            continue
        _require_text(cells, number, where)
        if len(cells) != len(header):
            raise UsageError(f"{where}: row {number}: {len(cells)} cells for {len(header)} columns")
        if not cells[place]:
            raise UsageError(f"{where}: row {number}: has no path")
        tidied: list[Any] = [" ".join(value.split()) for value in cells]
        tidied[place] = str(PurePosixPath(cells[place]))
        if year is not None:
            tidied[year] = _year(tidied[year], f"{where}: row {number}")
        yield number, tidied


def _year(value: str, where: str) -> int | None:
    """The year, also as pandas writes numbers and gaps: 2004.0, nan."""
    text = value.removesuffix(".0")
    if text.lower() in ("", "nan", "none"):
        return None
    if not text.isascii() or not text.isdigit() or len(text) != 4:
        raise UsageError(f"{where}: year {value!r} is not four digits; leave it empty if unknown")
    return int(text)


def _part(header: Sequence[str], columns: Sequence[list[Any]]) -> pa.RecordBatch:
    given = dict(zip(header, columns, strict=True))
    lacking = [None] * len(columns[0])
    arrays = [pa.array(given.get(field.name, lacking), field.type) for field in METADATA]
    return pa.RecordBatch.from_arrays(arrays, schema=METADATA)


def _first_repeated(values: pa.ChunkedArray) -> int | None:
    """The first row whose value an earlier one has."""
    codes = coded(values).codes
    first = np.empty(codes.max(initial=-1) + 1, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    again = np.flatnonzero(first[codes] != np.arange(len(codes)))
    return int(again[0]) if len(again) else None
