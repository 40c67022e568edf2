"""`tracklore split`: the same splits for any table, outside a dataset."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from pipelines.splits.keep import kept_splits, read_kept
from pipelines.splits.labels import as_array
from pipelines.splits.stratify import Items, stratified_split
from schemas.errors import DataError, UsageError, fault_of_file, suggest
from schemas.store import Store
from schemas.tables.splits import DEFAULT_SCHEME

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
        raise DataError(f"{path}: is no {suffix[1:]} table ({fault_of_file(error)})") from error


def split_table(
    path: str,
    out: str,
    columns: Mapping[str, str],
    ratios: Mapping[str, float],
    *,
    label_separator: str | None = None,
    seed: int = 0,
    effort: int = 1,
    keep: str | None = None,
) -> tuple[pa.Table, list[str], Mapping[str, Any]]:
    """Split a table and write (id, split) as Parquet.

    Args:
        columns: the names of the `id`, `group` and `labels` columns.
        label_separator: when labels are text, what stands between them.
        keep: an earlier output, or the table of splits of a dataset, whose rows keep their splits.

    Returns:
        the table written, warnings, and the columns that measures need (groups, labels, splits).

    Raises:
        UsageError: a column that is not there or not of one value a row, labels of a kind that needs a
            separator, an output that is no .parquet file or cannot be written, kept splits without a ratio.
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
    keys, keyed = as_text(ids), as_text(groups)
    kept, absent = None, 0
    if keep is not None:
        kept, absent = kept_rows(keep, columns["id"], keys)
    splits, notes = stratified_split(Items(keys, [keyed], labels), ratios, seed, effort, kept)
    if absent:
        notes = [*notes, f"--keep {keep}: {absent} of its rows are not in {path}; ids are compared as text"]
    found = pa.array(splits, pa.string())
    result = pa.table({columns["id"]: ids, "split": found})
    result = result.take(pc.array_sort_indices(keys)).combine_chunks()
    store, name = _place(out)
    try:
        with store.writing(name) as stream:
            pq.write_table(result, stream, compression="zstd")
    except OSError as error:
        why = fault_of_file(error)
        raise UsageError(f"--out {out}: cannot be written ({error.strerror or why})") from error
    return result, notes, {"groups": keyed, "labels": labels, "splits": found}


def kept_rows(keep: str, id_name: str, ids: pa.Array) -> tuple[pa.Array, int]:
    """What an earlier split says of some ids: string (ids,), null where it says nothing; and how many of its rows
    are not among them.

    Raises:
        UsageError, DataError: see `keep.read_kept`.
    """
    table = read_kept(keep, None, "--keep", id_name)
    found = kept_splits(table, DEFAULT_SCHEME, 0, ids)
    listed = int(pc.sum(pc.equal(table.column("scheme"), DEFAULT_SCHEME)).as_py() or 0)
    return found, listed - (len(found) - found.null_count)


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """A column of any single values as text; equal values are equal text."""
    values = as_array(column)
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([str(value) for value in values.to_pylist()], pa.string())


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
    if pc.count_distinct(as_array(column)).as_py() == len(column):
        return
    seen: dict[Any, int] = {}
    for row, value in enumerate(column.to_pylist(), start=1):
        if value in seen:
            raise DataError(f"{path}: rows {seen[value]} and {row} have the same {name} {value!r}; ids must differ")
        seen[value] = row


def _labels(path: str, column: pa.ChunkedArray, name: str, separator: str | None) -> pa.Array:
    """The labels of each row as a list of strings."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lists = as_array(column)
        words = as_text(pc.list_flatten(lists))
        return _lists(words, pc.list_parent_indices(lists), pc.is_valid(words), len(lists))
    if not separator:
        shown = json.dumps(next((v for v in column.to_pylist() if v), ""), default=str)
        raise UsageError(
            f"{path}: column {name!r} holds text such as {shown}; say what parts its labels with --label-separator"
        )
    parts = pc.split_pattern(pc.fill_null(as_text(column), ""), separator)
    words = pc.utf8_trim_whitespace(pc.list_flatten(parts))
    return _lists(words, pc.list_parent_indices(parts), pc.not_equal(words, ""), len(parts))


def _lists(words: pa.Array, rows: pa.Array, kept: pa.Array, count: int) -> pa.Array:
    """Lists of the words that are kept, one a row."""
    lengths = np.bincount(rows.filter(kept).to_numpy(zero_copy_only=False), minlength=count)
    ends = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    lists = pa.LargeListArray.from_arrays(pa.array(ends), words.filter(kept))
    return lists.cast(pa.large_list(pa.string()))
