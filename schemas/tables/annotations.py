"""What the sources say of a track, as they say it."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

ANNOTATIONS = TableSchema(
    name="annotations",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the track"),
            column("source", pa.string(), "where the tag comes from"),
            column("raw_tag", pa.string(), "the tag as typed"),
            column(
                "score",
                pa.float64(),
                "weight, 0 to 100 for Last.fm; null where the source has none",
                nullable=True,
            ),
        ]
    ),
    sort_by=("track_id", "source", "raw_tag", "score"),
)
