"""Tracks that a source holds twice: one of each id is kept, and one of each recording."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.excluded_rows import excluded_rows
from pipelines.sources.probes import ROWS_AT_ONCE, slices
from schemas.coded import coded
from schemas.order import row_order
from schemas.reasons import Reason

Rows = npt.NDArray[np.int64]


def drop_repeated(tracks: pa.Table, *, keep_recordings: bool) -> tuple[pa.Table, pa.Table]:
    """Keep the first track (by id and file) of each id and, unless asked not to, of each recording.

    Args:
        tracks: (tracks) columns track_id, audio_uri, recording_id, `cut`: whether the file ends early, and
            `known`: how much is known of it. Of a recording a file that is whole is kept before those that are cut,
            and then one of which more is known.

    Returns:
        (kept) the rows that are kept, by id, and (tracks - kept) an exclusion for each other.
    """
    order = row_order(tracks, ["track_id", "audio_uri"]).rows
    order = np.arange(tracks.num_rows) if order is None else order
    ids = tracks.column("track_id").take(order)
    again = np.zeros(len(order), bool)
    again[1:] = pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1))).to_numpy()
    named, repeated = order[~again], order[again]
    left = excluded_rows(
        tracks.column("track_id").take(repeated), Reason.DUPLICATE_ID, tracks.column("audio_uri").take(repeated)
    )
    if keep_recordings:
        return _rows(tracks, named), left
    best = _best_of_recording(tracks, named)
    copies = named[best != named]
    same = tracks.column("track_id").take(best[best != named])
    end = pc.if_else(tracks.column("cut").take(copies), ", and cut off", "").cast(same.type)
    detail = pc.binary_join_element_wise(
        pa.scalar("the same sound as ", same.type), same, end, pa.scalar("", same.type)
    )
    copied = excluded_rows(tracks.column("track_id").take(copies), Reason.DUPLICATE_RECORDING, detail)
    return _rows(tracks, named[best == named]), pa.concat_tables([left, copied])


def _best_of_recording(tracks: pa.Table, named: Rows) -> Rows:
    """For each of the rows that one which is kept of its recording: the first of the best."""
    recordings = coded(tracks.column("recording_id")).codes
    cut, known = (tracks.column(name).to_numpy()[named].astype(np.int64) for name in ("cut", "known"))
    rows = named[np.lexsort((-known, cut))][::-1]  # what is written last stays
    best = np.empty(recordings.max(initial=-1) + 1, np.int64)
    best[recordings[rows]] = rows
    return best[recordings[named]]


def _rows(tracks: pa.Table, rows: Rows) -> pa.Table:
    """Some rows of a table, in parts whose text is never too much for one."""
    if np.all(rows[1:] > rows[:-1]):
        if len(rows) == tracks.num_rows:
            return tracks
        kept = np.zeros(tracks.num_rows, bool)
        kept[rows] = True
        mask = pa.table({"kept": kept})
        parts = zip(slices(tracks), slices(mask), strict=True)
        return pa.concat_tables([tracks.schema.empty_table(), *(p.filter(m.column("kept")) for p, m in parts)])
    whole = tracks.combine_chunks()  # of many pieces pyarrow makes one for each part that is taken
    starts = range(0, len(rows), ROWS_AT_ONCE)
    return pa.concat_tables([whole.take(rows[start : start + ROWS_AT_ONCE]) for start in starts])
