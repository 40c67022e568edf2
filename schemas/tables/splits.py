"""Where each track belongs. A dataset may have several schemes; `default` is ours."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

DEFAULT_SCHEME, KFOLD_SCHEME = "default", "kfold"

SPLITS = TableSchema(
    name="splits",
    version=1,
    schema=pa.schema(
        [
            column("scheme", pa.string(), "default, published, …"),
            column("fold", pa.int32(), "0 unless the scheme is k-fold"),
            column("track_id", pa.string(), "the track"),
            column("split", pa.string(), "train, valid, test, extra, student (unlabelled, artist in train), none"),
        ]
    ),
    sort_by=("scheme", "fold", "track_id"),
    unique=("scheme", "fold", "track_id"),
)
