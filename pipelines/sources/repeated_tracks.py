"""Tracks that a source holds twice: one of each id is kept, and one of each recording."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.coded import coded
from schemas.order import row_order
from schemas.reasons import Reason
from schemas.tables import EXCLUSIONS

Rows = npt.NDArray[np.int64]


def drop_repeated(tracks: pa.Table, *, keep_recordings: bool) -> tuple[pa.Table, pa.Table]:
    """Keep the first track (by id and file) of each id and, unless asked not to, of each recording.

    Args:
        tracks: columns track_id, audio_uri, recording_id, and `cut`: whether the file ends early. Of a recording a
            file that is whole is kept before those that are cut.

    Returns:
        the rows that are kept, by id, and an exclusion for each other.
    """
    order = row_order(tracks, ["track_id", "audio_uri"]).rows
    order = np.arange(tracks.num_rows) if order is None else order
    ids = tracks.column("track_id").take(order)
    again = np.zeros(len(order), bool)
    again[1:] = pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1))).to_numpy()
    named, repeated = order[~again], order[again]
    excluded = [_excluded(tracks, repeated, Reason.DUPLICATE_ID, tracks.column("audio_uri").take(repeated))]
    if keep_recordings:
        return _rows(tracks, named), excluded[0]
    best = _best_of_recording(tracks, named)
    kept, copies = named[best == named], named[best != named]
    same = tracks.column("track_id").take(best[best != named])
    cut = tracks.column("cut").take(copies)
    end = pc.if_else(cut, ", and cut off", "")
    detail = pc.binary_join_element_wise(
        pa.scalar("the same sound as ", same.type), same, end.cast(same.type), pa.scalar("", same.type)
    )
    excluded.append(_excluded(tracks, copies, Reason.DUPLICATE_RECORDING, detail))
    return _rows(tracks, kept), pa.concat_tables(excluded)


def _best_of_recording(tracks: pa.Table, named: Rows) -> Rows:
    """For each of the rows that one which is kept of its recording: whole before cut, then the first."""
    recordings = coded(tracks.column("recording_id")).codes
    cut = tracks.column("cut").to_numpy()[named].astype(bool)
    best = np.empty(recordings.max(initial=-1) + 1, np.int64)
    for rows in (named[cut], named[~cut]):  # what is written last stays
        best[recordings[rows[::-1]]] = rows[::-1]
    return best[recordings[named]]


def _rows(tracks: pa.Table, rows: Rows) -> pa.Table:
    return tracks if np.array_equal(rows, np.arange(tracks.num_rows)) else tracks.take(rows)


def _excluded(tracks: pa.Table, rows: Rows, reason: Reason, detail: pa.ChunkedArray) -> pa.Table:
    columns = {
        "id": tracks.column("track_id").take(rows).cast(pa.string()),
        "stage": pa.repeat("source", len(rows)),
        "reason": pa.repeat(str(reason), len(rows)),
        "detail": detail.cast(pa.string()),
    }
    return pa.table(columns, schema=EXCLUSIONS.schema)
