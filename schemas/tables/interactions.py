"""Playlists and listeners."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

INTERACTIONS = TableSchema(
    name="interactions",
    version=1,
    schema=pa.schema(
        [
            column("group_id", pa.string(), "playlist or listener"),
            column("kind", pa.string(), "playlist or listener"),
            column("track_id", pa.string(), "the track"),
            column("count", pa.int64(), "plays, or 1"),
        ]
    ),
    sort_by=("kind", "group_id", "track_id"),
    unique=("kind", "group_id", "track_id"),
)
