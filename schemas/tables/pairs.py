"""The fixed (track, caption) pairs of retrieval: for each scheme those that were published with it, or a draw from
its measured split, with pairwise distinct captions where the data allows."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

PAIRS = TableSchema(
    name="pairs",
    version=2,
    schema=pa.schema(
        [
            column("scheme", pa.string(), "of `splits.parquet`"),
            column("fold", pa.int32(), "the fold, from 0"),
            column("pair_id", pa.int64(), "0 to n-1, in the order of the draw"),
            column("track_id", pa.string(), "the track"),
            column("caption", pa.string(), "the query"),
        ]
    ),
    sort_by=("scheme", "fold", "pair_id"),
    unique=("scheme", "fold", "pair_id"),
)
