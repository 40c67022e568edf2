"""Numbers to predict."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

TARGETS = TableSchema(
    name="targets",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the track"),
            column("name", pa.string(), "valence, arousal, …"),
            column("value", pa.float64(), "in the source's own unit"),
        ]
    ),
    sort_by=("track_id", "name"),
    unique=("track_id", "name"),
)
