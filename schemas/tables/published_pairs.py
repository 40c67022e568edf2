"""The retrieval pairs that the source's authors published, as they published them (ECALS: 1,000)."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

PUBLISHED_PAIRS = TableSchema(
    name="published_pairs",
    version=1,
    schema=pa.schema(
        [
            column("pair_id", pa.int64(), "0 to n-1, in the order of the release"),
            column("track_id", pa.string(), "the track"),
            column("caption", pa.string(), "the query"),
        ]
    ),
    sort_by=("pair_id",),
    unique=("pair_id",),
)
