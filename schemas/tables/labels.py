"""One row a track that goes on: its tags and its caption."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

LABELS = TableSchema(
    name="labels",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the track"),
            column("tags", pa.list_(pa.string()), "clean tags, sorted; empty for an unlabelled track"),
            column(
                "caption",
                pa.string(),
                "the sentence that describes the track; null for an unlabelled track",
                nullable=True,
            ),
        ]
    ),
    sort_by=("track_id",),
    unique=("track_id",),
)
