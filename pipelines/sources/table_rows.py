"""Rows of tables as people publish them: CSV, TSV, JSON lines and Parquet.

A row that cannot be read is a problem of its own, and not the end of the file.
"""

from __future__ import annotations

import ast
import csv
import io
import json
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.progress import beat
from pipelines.sources.csv_rows import CsvRows, EndlessCellError
from schemas.errors import fault_of_file

DELIMITERS = {".csv": ",", ".tsv": "\t"}
FORMATS = (*DELIMITERS, ".jsonl", ".parquet")
Row = tuple[int, dict[str, Any] | str]
_LONGEST_LIST = 1 << 20
_BEAT_EVERY = 1 << 13


class NotATableError(ValueError):
    """The file is of another format altogether; the message says at which line and why."""


def table_rows(stream: BinaryIO, ending: str, columns: Collection[str]) -> Iterator[Row]:
    """The rows of a table, each with its line (of Parquet: its row), from 1.

    Args:
        ending: one of FORMATS.
        columns: that must be there; others may be beside them.

    Yields:
        (line, the row as a dict of cells) or (line, what is wrong with it).

    Raises:
        NotATableError: it is no such file, or a column is missing.
    """
    match ending:
        case ".parquet":
            yield from _parquet(stream, columns)
        case ".jsonl":
            yield from _json_lines(stream, columns)
        case _:
            yield from _delimited(stream, DELIMITERS[ending], columns)


def _delimited(stream: BinaryIO, delimiter: str, columns: Collection[str]) -> Iterator[Row]:
    # Bytes that are no UTF-8 are carried through as lone surrogates: then they are one row's problem.
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    reader = CsvRows(text, delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
        _require(columns, names)
        try:
            for row in reader:
                if row and len(row) != len(names):
                    yield _refused(reader, f"{len(row)} cells, and the header has {len(names)}")
                elif not _is_text("".join(row)):
                    yield _refused(reader, "is not UTF-8")
                elif row:
                    yield reader.start, dict(zip(names, row, strict=True))
        except EndlessCellError as error:
            yield _refused(reader, str(error))
    except csv.Error as error:
        raise NotATableError(f"line {reader.start}: {error}") from error
    finally:
        text.detach()


def _refused(reader: CsvRows, problem: str) -> Row:
    """What stands in a row's later lines goes with it."""
    last = reader.line_num
    return reader.start, problem if last == reader.start else f"goes on to line {last}: {problem}"


def _json_lines(stream: BinaryIO, columns: Collection[str]) -> Iterator[Row]:
    seen: set[str] = set()
    read = 0
    for number, raw in enumerate(stream, start=1):
        if number % _BEAT_EVERY == 0:
            beat()
        if not raw.strip():
            continue
        try:
            row = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            yield number, f"is not JSON ({error})"
            continue
        if not isinstance(row, dict):
            yield number, f"is a {type(row).__name__}, not an object"
            continue
        read += 1
        seen.update(row)
        yield number, row
    if read:
        _require(columns, seen)
    else:
        raise NotATableError("no line of it is a JSON object")


def _parquet(stream: BinaryIO, columns: Collection[str]) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(stream)
        _require(columns, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches(batch_size=_BEAT_EVERY, columns=sorted(columns)):
            beat()
            for row in _rows_of(batch):
                number += 1
                yield number, row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise NotATableError(f"is no Parquet file ({fault_of_file(error)})") from error


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any] | str]:
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:  # some row's fault
        if batch.num_rows == 1:
            return ["is not UTF-8"]
        half = batch.num_rows // 2
        return [*_rows_of(batch.slice(0, half)), *_rows_of(batch.slice(half))]


def _require(columns: Collection[str], names: Collection[str]) -> None:
    missing = sorted(set(columns) - set(names))
    if missing:
        raise NotATableError(
            f"line 1: no column {', '.join(map(repr, missing))}; it has {', '.join(sorted(names))}"
        )


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def cell_text(value: Any) -> str | None:
    """A cell as text, without spaces around it; None for an empty one.

    Raises:
        ValueError: it is a list or an object, or holds what is no text.
    """
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, list | dict):
        raise ValueError(f"is a {type(value).__name__}, not text")
    text = str(value).strip()
    if not _is_text(text):
        raise ValueError("is not UTF-8")
    return text or None


def cell_list(value: Any, separator: str | None) -> list[str]:
    """A cell as a list of texts, each once and in the cell's order.

    Args:
        separator: between the entries; None when the cell is a list, or one written as JSON or as a Python literal.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and separator is None:
        value = _written_list(value)
    elif isinstance(value, str):
        value = value.split(separator or None)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"is a {type(value).__name__}, not a list")
    texts = [cell_text(entry) for entry in value]
    return list(dict.fromkeys(text for text in texts if text is not None))


def _written_list(text: str) -> Any:
    if not text.strip():
        return []
    if len(text) > _LONGEST_LIST:
        raise ValueError(f"is {len(text)} characters long")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        # Literals only: no name, no call and no operator is read.
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text[:40]!r} is no list") from error
