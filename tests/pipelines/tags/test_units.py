from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags import units
from pipelines.tags.units import cleaned_unit, read_unit, unit_count
from schemas import table
from schemas.manifest import TagsSection
from schemas.store import Store
from schemas.tables import ANNOTATIONS, LISTENED, TRACKS


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7), st.integers(1, 3))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_units_hold_every_row_once_and_no_track_in_two(lengths: list[int], rows: int, groups: int) -> None:
    annotations = ANNOTATIONS.from_rows(
        {"track_id": f"t{track:02d}", "source": "s", "raw_tag": f"tag {n}"}
        for track, length in enumerate(lengths)
        for n in range(length)
    )
    store = Store("memory://units")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "ROWS_PER_GROUP", rows)
        patch.setattr(units, "GROUPS_PER_UNIT", groups)
        ANNOTATIONS.write(store, annotations)
        found = [read_unit(store, number) for number in range(unit_count(store))]
    assert [row for unit in found for row in unit.to_pylist()] == annotations.to_pylist()
    tracks = [track for unit in found for track in set(unit.column("track_id").to_pylist())]
    assert len(tracks) == len(set(tracks))


def dataset(folder: Path, tracks: dict[str, str | None], said: list[tuple[str, str, float | None]]) -> Store:
    store = Store(str(folder))
    TRACKS.write(
        store,
        TRACKS.from_rows(
            {"track_id": t, "artist_id": "a", "recording_id": t, "artist_name": name} for t, name in tracks.items()
        ),
    )
    rows: list[dict[str, Any]] = [
        {"track_id": track, "source": "tags", "raw_tag": tag, "score": score} for track, tag, score in said
    ]
    ANNOTATIONS.write(store, ANNOTATIONS.from_rows(rows))
    return store


def test_the_steps_are_taken_in_the_papers_order_and_counted(tmp_path: Path) -> None:
    said: list[tuple[str, str, float | None]] = [
        ("t1", "rock", 100),
        ("t1", "pop", 0),
        ("t1", "sad", 3),
        ("t2", "rock", 5),
        ("t3", "rock", 1),
        ("t3", "x", 1),
        ("t3", "y", 1),
    ]
    store = dataset(tmp_path, {"t1": None, "t2": None, "t3": None}, said)
    LISTENED.write(store, LISTENED.from_rows([{"track_id": "t1"}, {"track_id": "t3"}]))
    unit = cleaned_unit(store, 0, TagsSection(max_tags_per_track=2))
    stay, over, counts = unit.annotations, unit.over, unit.counts
    # A score of 0 does not count towards the limit: step 2 comes before step 3.
    assert [(r["track_id"], r["raw_tag"]) for r in stay.to_pylist()] == [("t1", "rock"), ("t1", "sad")]
    assert over.to_pylist() == [{"track_id": "t3", "tags": 3}]
    assert counts == [
        ("annotated", 3, 7),
        ("in the listening data", 2, 6),
        ("score above 0", 2, 5),
        ("at most 2 tags a track", 1, 2),
        ("not the artist's own name", 1, 2),
    ]
    reached = dict(zip(*(unit.reached.column(name).to_pylist() for name in ("raw_tag", "steps")), strict=True))
    assert reached == {"rock": 5, "sad": 5, "pop": 2, "x": 3, "y": 3}


def test_names_of_artists_leave_unless_the_taxonomy_has_them(tmp_path: Path) -> None:
    tracks = {"t1": "Radiohead", "t2": "New York", "t3": "Hip-Hop", "t4": None, "t5": "Blues"}
    said: list[tuple[str, str, float | None]] = [
        ("t1", "radiohead", None),
        ("t1", "rock", None),
        ("t2", "new york", None),
        ("t2", "radiohead", None),
        ("t3", "hip hop", None),
        ("t4", "rock", None),
        ("t5", "blues", None),
    ]
    store = dataset(tmp_path, tracks, said)
    stay = cleaned_unit(store, 0, TagsSection()).annotations
    found = [(r["track_id"], r["raw_tag"]) for r in stay.to_pylist()]
    assert found == sorted((track, tag) for track, tag, _ in said if (track, tag) != ("t1", "radiohead"))
    kept = cleaned_unit(store, 0, TagsSection(drop_artist_names=False))
    assert kept.annotations.num_rows == len(said)
    assert [step for step, _, _ in kept.counts] == ["annotated", "score above 0", "at most 20 tags a track"]


def test_a_table_without_rows_is_one_empty_unit(tmp_path: Path) -> None:
    store = dataset(tmp_path, {"t1": "A"}, [])
    assert unit_count(store) == 1
    unit = cleaned_unit(store, 0, TagsSection())
    assert (unit.annotations.num_rows, unit.over.num_rows, unit.reached.num_rows) == (0, 0, 0)
    assert all(number == 0 for _, tracks, rows in unit.counts for number in (tracks, rows))
