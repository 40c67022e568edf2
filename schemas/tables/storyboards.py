"""Frames of a few videos, kept and dropped, for the report."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

STORYBOARDS = TableSchema(
    name="storyboards",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "as in videos"),
            column("number", pa.int32(), "0 for the first frame"),
            column("at_s", pa.float64(), "second of the video"),
            column("jpeg", pa.binary(), "the frame, small"),
        ]
    ),
    sort_by=("track_id", "number"),
    unique=("track_id", "number"),
)
