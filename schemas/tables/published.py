"""The split that the source's authors published, as they published it."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

PUBLISHED = TableSchema(
    name="published",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the track"),
            column("split", pa.string(), "train, valid or test, their names mapped to ours"),
        ]
    ),
    sort_by=("track_id",),
    unique=("track_id",),
)
