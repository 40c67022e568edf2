"""`tracklore split`: the same splits for any table, outside a dataset."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from pipelines.splits.stratify import Items, stratified_split
from schemas.errors import DataError, UsageError, suggest
from schemas.store import Store

_FORMATS = (".parquet", ".csv", ".tsv", ".jsonl")


def read_table(path: str) -> pa.Table:
    """Read a Parquet, CSV, TSV or JSONL table, CSV cells as text.

    Raises:
        UsageError: there is no such file, or its name has another ending.
        DataError: it is not what its ending says.
    """
    store, name = _place(path)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(f"{path}: cannot tell the format; name the file {', '.join(_FORMATS)}")
    if not store.exists(name):
        raise UsageError(f"{path}: no such file")
    try:
        with store.open(name) as stream:
            if suffix == ".parquet":
                return pq.read_table(stream)
            if suffix == ".jsonl":
                return pa_json.read_json(stream)
            delimiter = "\t" if suffix == ".tsv" else ","
            header = stream.readline().decode("utf-8-sig").rstrip("\r\n")
            names = next(iter(_cells(header, delimiter)))
            stream.seek(0)
            return pa_csv.read_csv(
                stream,
                parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    column_types={column: pa.string() for column in names}, strings_can_be_null=False
                ),
            )
    except (IsADirectoryError, PermissionError) as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: is no {suffix[1:]} table ({' '.join(str(error).split())})") from error


def split_table(
    path: str,
    out: str,
    columns: Mapping[str, str],
    ratios: Mapping[str, float],
    *,
    label_separator: str | None = None,
    seed: int = 0,
    effort: int = 1,
) -> tuple[pa.Table, list[str], dict[str, Sequence[Any]]]:
    """Split a table and write (id, split) as Parquet.

    Args:
        columns: the names of the `id`, `group` and `labels` columns.
        label_separator: when labels are text, what stands between them.

    Returns:
        the table written, warnings, and the rows that measures need (ids, groups, labels, splits).

    Raises:
        UsageError: a column that is not there or not of one value a row, labels of a kind that needs a
            separator, an output that is no .parquet file or cannot be written.
        DataError: an id that is missing or stands twice, a row without a group.
    """
    if not out.endswith(".parquet"):
        raise UsageError(f"--out {out}: the split is written as Parquet; name it with .parquet")
    if _same_file(path, out):
        raise UsageError(f"--out {out}: is the table itself; give the split a file of its own")
    table = read_table(path)
    for role, name in columns.items():
        if name not in table.column_names:
            raise UsageError(f"{path}: --{role} {name}: no such column{suggest(name, table.column_names)}")
        if table.column_names.count(name) > 1:
            raise UsageError(f"{path}: --{role} {name}: the column stands twice; rename one")
        kind = table.schema.field(name).type
        if role != "labels" and pa.types.is_nested(kind):
            raise UsageError(f"{path}: --{role} {name}: the column holds a {kind} a row, not one value")
    if columns["id"] == "split":
        raise UsageError(f"{path}: --id split: the output has a column of that name; rename the id's")
    ids = table.column(columns["id"])
    _require_values(path, ids, columns["id"])
    _require_unique(path, ids, columns["id"])
    groups = table.column(columns["group"])
    _require_values(path, groups, columns["group"])
    labels = _labels(path, table.column(columns["labels"]), columns["labels"], label_separator)
    keys, group_keys = ([str(value) for value in column.to_pylist()] for column in (ids, groups))
    splits, notes = stratified_split(Items(keys, [group_keys], labels), ratios, seed, effort)
    result = pa.table({columns["id"]: ids, "split": pa.array(splits, pa.string())})
    order = sorted(range(len(keys)), key=lambda row: keys[row])
    result = result.take(pa.array(order, pa.int64())).combine_chunks()
    store, name = _place(out)
    try:
        with store.writing(name) as stream:
            pq.write_table(result, stream, compression="zstd")
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    return result, notes, {"groups": group_keys, "labels": labels, "splits": splits}


def _place(path: str) -> tuple[Store, str]:
    folder, _, name = path.rpartition("/")
    return Store(folder or ("/" if path.startswith("/") else ".")), name


def _same_file(path: str, out: str) -> bool:
    if "://" in path or "://" in out:
        return path == out
    return os.path.realpath(path) == os.path.realpath(out)


def _cells(line: str, delimiter: str) -> Any:
    return csv.reader([line], delimiter=delimiter)


def _require_values(path: str, column: pa.ChunkedArray, name: str) -> None:
    # A number that is not itself is NaN, which is how pandas writes a missing one.
    if not any(value is None or value == "" or value != value for value in column.unique().to_pylist()):
        return
    values = enumerate(column.to_pylist(), start=1)
    row = next(i for i, value in values if value is None or value == "" or value != value)
    raise DataError(f"{path}: row {row}: no value in column {name!r}; every row needs one")


def _require_unique(path: str, column: pa.ChunkedArray, name: str) -> None:
    seen: dict[Any, int] = {}
    for row, value in enumerate(column.to_pylist(), start=1):
        if value in seen:
            raise DataError(f"{path}: rows {seen[value]} and {row} have the same {name} {value!r}; ids must differ")
        seen[value] = row


def _labels(path: str, column: pa.ChunkedArray, name: str, separator: str | None) -> Sequence[Sequence[str]]:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [[str(value) for value in row or [] if value is not None] for row in column.to_pylist()]
    if not separator:
        shown = json.dumps(next((v for v in column.to_pylist() if v), ""), default=str)
        raise UsageError(
            f"{path}: column {name!r} holds text such as {shown}; say what parts its labels with --label-separator"
        )
    values = ("" if value is None else str(value) for value in column.to_pylist())
    return [[part for part in (piece.strip() for piece in value.split(separator)) if part] for value in values]
