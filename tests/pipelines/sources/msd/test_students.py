from __future__ import annotations

import pyarrow as pa

from pipelines.sources.msd.students import student_note
from schemas.tables import PUBLISHED

SPLITS = {"a": "train", "b": "valid", "c": "test", "d": "student", "e": "student", "f": "none"}


def published() -> pa.Table:
    rows = [{"scheme": "published", "track_id": track, "split": split} for track, split in SPLITS.items()]
    return PUBLISHED.from_rows(rows)


def test_students_by_artists_that_are_measured_are_said() -> None:
    own = pa.table({"track_id": list(SPLITS), "artist_id": ["A", "B", "C", "A", "E", "B"]})
    assert student_note(published(), own) is None
    shared = pa.table({"track_id": list(SPLITS), "artist_id": ["A", "B", "C", "B", "E", "B"]})
    note = student_note(published(), shared)
    assert note is not None and "1 student or extra tracks are by 1 artists of valid or test" in note
