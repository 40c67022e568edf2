"""Which tracks the retrieval pairs are of, in their order, without the captions."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

PAIR_IDS = TableSchema(
    name="pair_ids",
    version=1,
    schema=pa.schema(
        [
            column("pair_id", pa.int64(), "0 to n-1, in the order of the seeded draw"),
            column("track_id", pa.string(), "the track"),
        ]
    ),
    sort_by=("pair_id",),
    unique=("pair_id",),
)
