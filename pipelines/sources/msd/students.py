"""What is to be known of the tracks that a released split gives to a student model (CALS), before they are used."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_TAUGHT = ("student", "extra")
_MEASURED = ("valid", "test")


def student_note(published: pa.Table, tracks: pa.Table) -> str | None:
    """A warning when artists of student or extra tracks are in valid or test too, or None.

    Args:
        published: one released split.
        tracks: columns track_id and artist_id.
    """
    joined = published.select(["track_id", "split"]).join(
        tracks.select(["track_id", "artist_id"]), "track_id", join_type="inner"
    )
    taught = joined.filter(pc.is_in(joined.column("split"), value_set=pa.array(_TAUGHT)))
    measured = joined.filter(pc.is_in(joined.column("split"), value_set=pa.array(_MEASURED)))
    leaks = pc.is_in(taught.column("artist_id"), value_set=pc.unique(measured.column("artist_id")))
    leaking = taught.filter(leaks)
    if not leaking.num_rows:
        return None
    artists = pc.count_distinct(leaking.column("artist_id")).as_py()
    return (
        f"published split: {leaking.num_rows:,} student or extra tracks are by {artists:,} artists of valid or test"
        "; see tracklore audit before you learn from them"
    )
