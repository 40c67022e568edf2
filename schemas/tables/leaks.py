"""What two splits of one scheme share: one row a shared artist, recording or caption. Written by the audit."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

LEAKS = TableSchema(
    name="leaks",
    version=1,
    schema=pa.schema(
        [
            column("scheme", pa.string(), "default, published, …"),
            column("fold", pa.int32(), "0 unless the scheme is k-fold"),
            column("kind", pa.string(), "artist, recording, or caption (which is no leak by itself)"),
            column("key", pa.string(), "the artist's or the recording's id, or the caption"),
            column("splits", pa.list_(pa.string()), "where it lies, two or more, sorted by name"),
            column("tracks", pa.list_(pa.string()), "for each of these splits its first track with the key"),
            column("n_tracks", pa.int64(), "tracks with the key in these splits together"),
        ]
    ),
    sort_by=("scheme", "fold", "kind", "key"),
    unique=("scheme", "fold", "kind", "key"),
)
