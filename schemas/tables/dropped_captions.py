"""Sentences of the source that no caption is made from, and why."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

DROPPED_CAPTIONS = TableSchema(
    name="dropped_captions",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the track"),
            column("number", pa.int32(), "which of its sentences, as in `captions`"),
            column("reason", pa.string(), "one of schemas.reasons"),
            column("detail", pa.string(), "what was found, for a person"),
        ]
    ),
    sort_by=("track_id", "number"),
    unique=("track_id", "number"),
)
