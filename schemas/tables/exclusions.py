"""Every track, tag or video that left the way: where, and why."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

EXCLUSIONS = TableSchema(
    name="exclusions",
    version=1,
    schema=pa.schema(
        [
            column("id", pa.string(), "track id, tag or path, as the stage knows it"),
            column("stage", pa.string(), "source, tags, splits, features.NAME"),
            column("reason", pa.string(), "a word of the closed vocabulary in schemas.reasons"),
            column("detail", pa.string(), "what a person needs to mend it", nullable=True),
        ]
    ),
    sort_by=("stage", "id", "reason", "detail"),
)
