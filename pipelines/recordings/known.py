"""Recording ids as a dataset knows them: by fingerprints where they were taken, else by what the source says."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from schemas.receipt import Receipt
from schemas.store import Store
from schemas.tables import RECORDINGS


def with_recordings(tracks: pa.Table, out: Store, receipt: Receipt) -> pa.Table:
    """`tracks` with the recording ids of `recordings`, where the receipt lists that table.

    Args:
        tracks: columns track_id and recording_id, and any others.
    """
    if RECORDINGS.filename not in receipt.files():
        return tracks
    found = RECORDINGS.read(out, ["track_id", "recording_id"])
    place = pc.index_in(tracks.column("track_id"), value_set=found.column("track_id").combine_chunks())
    ids = pc.coalesce(found.column("recording_id").take(place), tracks.column("recording_id"))
    return tracks.set_column(tracks.schema.get_field_index("recording_id"), "recording_id", ids)
