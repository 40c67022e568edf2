"""The split that the source's authors published, as they published it."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

PUBLISHED = TableSchema(
    name="published",
    version=2,
    schema=pa.schema(
        [
            column("scheme", pa.string(), "`published`, or the name of one of several that are in use"),
            column("track_id", pa.string(), "the track"),
            column("split", pa.string(), "train, valid, test, extra, student or none, their names mapped to ours"),
        ]
    ),
    sort_by=("scheme", "track_id"),
    unique=("scheme", "track_id"),
)
