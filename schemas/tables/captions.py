"""Sentences that the source has for a track, as written; which of them is its caption is the recipe's choice."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

CAPTIONS = TableSchema(
    name="captions",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the track"),
            column("number", pa.int32(), "0 for the first sentence of the track, in the source's order"),
            column("source", pa.string(), "where the sentence comes from"),
            column("caption", pa.string(), "the sentence as written"),
        ]
    ),
    sort_by=("track_id", "number"),
    unique=("track_id", "number"),
)
