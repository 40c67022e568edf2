"""What is known of many files, as columns: of ten million the rows fit in memory, where as many objects do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import Reason
from schemas.store import FileInfo

TEXT = pa.large_string()
"""The names of ten million files may be more than the 2 GB of `string`."""
FILES = pa.schema([("path", TEXT), ("bytes", pa.int64()), ("stamp", TEXT)])
"""What a listing tells: `schemas.store.FileInfo`."""
PROBES = pa.schema(
    [
        ("path", TEXT),
        ("sha256", TEXT),
        ("sound", TEXT),
        ("duration_s", pa.float64()),
        ("artist", TEXT),
        ("album", TEXT),
        ("title", TEXT),
        ("year", pa.int32()),
        ("genres", pa.list_(TEXT)),
        ("kind", TEXT),
        ("whole", pa.bool_()),
        ("reason", TEXT),
        ("detail", TEXT),
    ]
)
"""What a look at each file found: `pipelines.sources.probe.Probe`."""
ROWS_AT_ONCE = 50_000


def files_table(infos: Iterable[FileInfo]) -> pa.Table:
    """Files as `FILES`, in the order in which they come. Their paths are UTF-8."""
    return in_parts(({"path": i.path, "bytes": i.bytes, "stamp": i.stamp} for i in infos), FILES)


def in_parts(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table, `ROWS_AT_ONCE` of them at a time: not all of them need be there at once."""
    left = iter(rows)
    parts = iter(lambda: list(islice(left, ROWS_AT_ONCE)), [])
    return pa.Table.from_batches((pa.RecordBatch.from_pylist(part, schema=schema) for part in parts), schema)


def slices(table: pa.Table) -> Iterator[pa.Table]:
    """A table's rows in order, at most `ROWS_AT_ONCE` of them at a time."""
    return (table.slice(start, ROWS_AT_ONCE) for start in range(0, table.num_rows, ROWS_AT_ONCE))


def known_for_good(probes: pa.Table) -> pa.ChunkedArray:
    """Whether what was found of each file stays so until it changes.

    What could not be read may be there again, and what took too long may take less next time.
    """
    late = pc.fill_null(pc.equal(probes.column("reason"), str(Reason.TIMED_OUT)), False)
    return pc.and_not(pc.not_equal(probes.column("sha256"), ""), late)
