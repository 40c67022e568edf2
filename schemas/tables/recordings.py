"""Which tracks are one recording, by what the source says and by what they sound like."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

RECORDINGS = TableSchema(
    name="recordings",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "every track, also one without a fingerprint"),
            column("recording_id", pa.string(), "equal for two tracks that are the same recording"),
            column("partner", pa.string(), "the track that sounds most like it, where one does", nullable=True),
            column(
                "similarity",
                pa.float64(),
                "share of the fingerprint's bits that both have: 1 for equal, 0.5 for unrelated",
                nullable=True,
            ),
            column(
                "offset_s",
                pa.float64(),
                "what sounds at second t of the track sounds at t + offset_s of the partner",
                nullable=True,
            ),
            column("overlap_s", pa.float64(), "seconds that were compared", nullable=True),
        ]
    ),
    sort_by=("track_id",),
    unique=("track_id",),
)
