"""What a dataset learns from and another one holds: tracks, and artists of what the other measures on."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

FOUND_ELSEWHERE = TableSchema(
    name="found_elsewhere",
    version=1,
    schema=pa.schema(
        [
            column("dataset", pa.string(), "the other dataset's name"),
            column("kind", pa.string(), "track, or artist (who made a track there; weaker)"),
            column("key", pa.string(), "the track's id, or the artist's name (its id where no name is known)"),
            column("schemes", pa.list_(pa.string()), "the schemes in which it is learnt from here"),
            column("other", pa.string(), "the track's id there, or the artist's first track there"),
            column("other_splits", pa.list_(pa.string()), "where that track lies there, as scheme/split"),
            column("by", pa.string(), "id, audio, recording, name or same_recording; for artists id or name"),
            column("confidence", pa.string(), "exact, or likely (by name, with no equal duration)"),
            column("n_tracks", pa.int64(), "1, or how many tracks of the artist are learnt from here"),
        ]
    ),
    sort_by=("dataset", "kind", "key", "other", "by"),
    unique=("dataset", "kind", "key", "other", "by"),
)
