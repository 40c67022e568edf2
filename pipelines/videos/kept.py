"""The videos that stay, for the stages behind the filter."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from schemas.store import Store
from schemas.tables import VIDEOS
from schemas.tables.videos import KEPT


def kept_ids(out: Store) -> pa.Array:
    """The tracks whose videos stay, sorted."""
    table = VIDEOS.read(out, ["track_id", "kind"])
    ids = table.filter(pc.equal(table.column("kind"), KEPT)).column("track_id")
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids


def only_kept(table: pa.Table, out: Store) -> pa.Table:
    """The rows of a table with a column `track_id` that are of videos that stay."""
    column = table.column("track_id")
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    return table.filter(pc.is_in(plain, value_set=kept_ids(out)))
