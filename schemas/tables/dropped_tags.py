"""Every tag that a source gave and the vocabulary does not have: why, and on how many tracks it was."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

DROPPED_TAGS = TableSchema(
    name="dropped_tags",
    version=1,
    schema=pa.schema(
        [
            column("raw_tag", pa.string(), "the tag as typed"),
            column("reason", pa.string(), "a word of the closed vocabulary in schemas.reasons"),
            column("detail", pa.string(), "the rule or the group", nullable=True),
            column("n_tracks", pa.int64(), "tracks that carried it"),
        ]
    ),
    sort_by=("raw_tag", "reason"),
    unique=("raw_tag", "reason"),
)
