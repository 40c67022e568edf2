from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.stage import assign

RATIOS = {"train": 0.6, "valid": 0.2, "test": 0.2}
Row = dict[str, Any]


def row(
    track: str, artist: str, recording: str = "", tags: tuple[str, ...] = ("rock",), caption: str | None = "c"
) -> Row:
    return {
        "track_id": track,
        "artist_id": artist,
        "recording_id": recording or track,
        "tags": list(tags),
        "caption": caption,
    }


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", "f", "unknown-artist"]),
        st.integers(0, 30),
        st.sampled_from([(), ("rock",), ("rock", "sad")]),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


@given(rows, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_nothing_that_is_learnt_from_is_tied_to_what_is_measured(
    drawn: list[tuple[str, int, tuple[str, ...], bool]], shuffler: random.Random
) -> None:
    listed = [
        row(f"t{n:02d}", artist, f"r{recording}", tags, "c" if tags or spoken else None)
        for n, (artist, recording, tags, spoken) in enumerate(drawn)
    ]
    splits, _ = assign(listed, RATIOS, 0, 1)
    assert len(splits) == len(listed)
    for one, split in zip(listed, splits, strict=True):
        assert (split in RATIOS) == (one["caption"] is not None)
        assert split in {*RATIOS, "student", "none"}
    for first, here in zip(listed, splits, strict=True):
        for second, there in zip(listed, splits, strict=True):
            if first["artist_id"] == second["artist_id"] or first["recording_id"] == second["recording_id"]:
                kinds = {"train" if s == "student" else s for s in (here, there)} - {"none"}
                assert len(kinds) <= 1, (first, second, here, there)
    by_id = dict(zip((one["track_id"] for one in listed), splits, strict=True))
    shuffler.shuffle(listed)
    again, _ = assign(listed, RATIOS, 0, 1)
    assert dict(zip((one["track_id"] for one in listed), again, strict=True)) == by_id


def test_the_unlabelled_of_a_training_artist_are_students_and_of_a_measured_one_none() -> None:
    labelled = [row(f"t{n:02d}", f"a{n}") for n in range(10)]
    splits, _ = assign(labelled, RATIOS, 0, 1)
    where = dict(zip((one["artist_id"] for one in labelled), splits, strict=True))
    bare = [row(f"u{n:02d}", f"a{n}", tags=(), caption=None) for n in range(10)]
    new = [row("v1", "nobody else", tags=(), caption=None), row("v2", "unknown-artist", tags=(), caption=None)]
    found, _ = assign([*labelled, *bare, *new], RATIOS, 0, 1)
    assert found[:10] == splits
    assert found[10:20] == ["student" if where[f"a{n}"] == "train" else "none" for n in range(10)]
    assert found[20:] == ["student", "student"]


def test_a_copy_of_a_measured_recording_by_another_artist_is_none() -> None:
    labelled = [row(f"t{n:02d}", f"a{n}", f"r{n}") for n in range(10)]
    splits, _ = assign(labelled, RATIOS, 0, 1)
    copies = [row(f"u{n:02d}", f"b{n}", f"r{n}", (), None) for n in range(10)]
    found, _ = assign([*labelled, *copies], RATIOS, 0, 1)
    assert found[10:] == ["student" if split == "train" else "none" for split in splits]


@pytest.mark.parametrize("ratios", [RATIOS, {"a": 0.5, "b": 0.5}])
def test_unknown_artists_are_one_group_in_the_first_split(ratios: dict[str, float]) -> None:
    listed = [row(f"t{n:02d}", "unknown-artist" if n < 15 else f"a{n}") for n in range(20)]
    splits, _ = assign(listed, ratios, 0, 1)
    assert set(splits[:15]) == {next(iter(ratios))}


def test_a_track_with_a_caption_and_no_tag_is_labelled() -> None:
    listed = [row(f"t{n:02d}", f"a{n}", tags=()) for n in range(10)]
    splits, notes = assign(listed, RATIOS, 0, 1)
    assert [splits.count(name) for name in RATIOS] == [6, 2, 2]
    assert notes == []


def test_where_nothing_is_labelled_all_are_students() -> None:
    splits, notes = assign([row("t", "a", tags=(), caption=None)], RATIOS, 0, 1)
    assert splits == ["student"]
    assert len(notes) == 1
