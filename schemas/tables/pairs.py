"""The fixed (track, caption) pairs of retrieval, with pairwise distinct captions where the data allows."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

PAIRS = TableSchema(
    name="pairs",
    version=1,
    schema=pa.schema(
        [
            column("pair_id", pa.int64(), "0 to n-1, in the order of the seeded draw"),
            column("track_id", pa.string(), "the track"),
            column("caption", pa.string(), "the query"),
        ]
    ),
    sort_by=("pair_id",),
    unique=("pair_id",),
)
