"""Anybody's embeddings: Parquet files of vectors, of tracks by id and of texts by what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import UsageError, fault_of_file
from schemas.store import Store

Vectors = npt.NDArray[np.float32]


def read_vectors(file: str, key: str) -> tuple[list[str], Vectors]:
    """The keys of a file, and their vectors made unit, float32 (N, D).

    Args:
        file: Parquet with the columns `key` (text) and `vector` (a list of numbers, as long in every row).
        key: `track_id` or `text`.

    Raises:
        UsageError: the file is missing, has other columns, a key twice, or a vector that is not finite, is zero, or
            is of another length.
    """
    folder, _, name = file.rpartition("/")
    store = Store(folder or ("/" if file.startswith("/") else "."))
    try:
        with store.open(name) as stream:
            table = pq.ParquetFile(stream).read()
    except FileNotFoundError as error:
        raise UsageError(f"{file}: is not there") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{file}: is no Parquet file ({fault_of_file(error)})") from error
    for column in (key, "vector"):
        if column not in table.column_names:
            raise UsageError(f"{file}: has no column {column!r}; it has: {', '.join(table.column_names)}")
    try:
        keys = table.column(key).cast(pa.string()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(f"{file}: column {key!r} holds {table.column(key).type}, not text") from error
    if None in keys:
        raise UsageError(f"{file}: row {keys.index(None)}: has no {key}")
    twice = _repeated(keys)
    if twice:
        raise UsageError(f"{file}: {key} {twice[0]!r} stands twice")
    if not keys:
        raise UsageError(f"{file}: has no rows")
    return keys, _unit(file, keys, table.column("vector"))


def _repeated(keys: list[str]) -> list[str]:
    seen: set[str] = set()
    return [key for key in keys if key in seen or seen.add(key)]  # type: ignore[func-returns-value]


def _unit(file: str, keys: list[str], column: pa.ChunkedArray) -> Vectors:
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise UsageError(f"{file}: column 'vector' holds {kind}, not lists of numbers")
    whole = column.combine_chunks()
    try:
        lengths = np.asarray(whole.value_lengths().fill_null(-1))
        values = np.asarray(whole.flatten().cast(pa.float32()).fill_null(np.nan))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(f"{file}: column 'vector' holds {kind}, not lists of numbers") from error
    odd = np.flatnonzero(lengths != lengths[0]) if lengths[0] > 0 else np.array([0])
    if len(odd):
        row = int(odd[0])
        raise UsageError(f"{file}: {keys[row]!r}: {lengths[row]} numbers, and the first row has {lengths[0]}")
    vectors = values.reshape(len(keys), -1)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    wrong = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(wrong):
        raise UsageError(f"{file}: {keys[int(wrong[0])]!r}: a vector that is zero or not finite")
    unit: Vectors = (vectors / norms).astype(np.float32)
    return unit
