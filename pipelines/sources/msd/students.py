"""What becomes of the tracks that a released split gives to a student model (CALS), when it is imported."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

STUDENT = "student"
EXTRA = "extra"
_MEASURED = ("valid", "test")


def labelled_students_as_extra(published: pa.Table, labelled: pa.Array | pa.ChunkedArray) -> pa.Table:
    """ECALS' reading of CALS: a student track that has labels is `extra`, which is learnt from beside train.

    Args:
        published: as `schemas.tables.PUBLISHED`.
        labelled: ids of the tracks that have labels, in any order, repeated or not.
    """
    split = published.column("split")
    is_extra = pc.and_(pc.equal(split, STUDENT), pc.is_in(published.column("track_id"), value_set=_plain(labelled)))
    changed = pc.if_else(is_extra, pa.scalar(EXTRA), split)
    return published.set_column(published.schema.get_field_index("split"), published.schema.field("split"), changed)


def student_note(published: pa.Table, tracks: pa.Table) -> str | None:
    """A warning when artists of student or extra tracks are in valid or test too, or None.

    Args:
        published: one released split.
        tracks: columns track_id and artist_id.
    """
    joined = published.select(["track_id", "split"]).join(
        tracks.select(["track_id", "artist_id"]), "track_id", join_type="inner"
    )
    taught = joined.filter(pc.is_in(joined.column("split"), value_set=pa.array([STUDENT, EXTRA])))
    measured = joined.filter(pc.is_in(joined.column("split"), value_set=pa.array(_MEASURED)))
    leaks = pc.is_in(taught.column("artist_id"), value_set=_plain(measured.column("artist_id")))
    leaking = taught.filter(leaks)
    if not leaking.num_rows:
        return None
    artists = pc.count_distinct(leaking.column("artist_id")).as_py()
    return (
        f"published split: {leaking.num_rows:,} student or extra tracks are by {artists:,} artists of valid or test"
        "; see tracklore audit before you learn from them"
    )


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The distinct values, as plain text."""
    unique = pc.unique(values)
    return unique.dictionary_decode() if pa.types.is_dictionary(unique.type) else unique
