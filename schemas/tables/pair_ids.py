"""Which tracks the retrieval pairs are of, in their order, without the captions."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

PAIR_IDS = TableSchema(
    name="pair_ids",
    version=2,
    schema=pa.schema(
        [
            column("scheme", pa.string(), "of `splits.parquet`"),
            column("fold", pa.int32(), "the fold, from 0"),
            column("pair_id", pa.int64(), "0 to n-1, in the order of the draw"),
            column("track_id", pa.string(), "the track"),
        ]
    ),
    sort_by=("scheme", "fold", "pair_id"),
    unique=("scheme", "fold", "pair_id"),
)
