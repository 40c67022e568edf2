"""Tracks in the listening data that a recipe asks for (MSD500's step 1)."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

LISTENED = TableSchema(
    name="listened",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the track"),
        ]
    ),
    sort_by=("track_id",),
    unique=("track_id",),
)
