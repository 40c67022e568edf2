"""MSD500's steps against the same in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.artists import artist_key
from pipelines.tags.grouping import TagCount
from pipelines.tags.steps import (
    count_tags,
    drop_artist_names,
    drop_low_scores,
    drop_overtagged,
    keep_frequent,
    keep_listened,
    map_tags,
    merge_counts,
    tags_by_track,
)
from schemas.tables import ANNOTATIONS

Row = dict[str, Any]
TRACKS = ["t1", "t2", "t3", "t4", "t 5"]
TAGS = ["rock", "Rock", "pop", "sad", "the who", "blues", "!!!"]

rows = st.lists(
    st.fixed_dictionaries(
        {
            "track_id": st.sampled_from(TRACKS),
            "source": st.sampled_from(["genre", "tags"]),
            "raw_tag": st.sampled_from(TAGS),
            "score": st.sampled_from([None, 0.0, 0.5, 1.0, 49.0, 50.0, 100.0, float("nan")]),
        }
    ),
    max_size=40,
)


def counted(rows: list[Row]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(str(row[name]) for name in ANNOTATIONS.schema.names) for row in rows)


@given(rows, st.lists(st.sampled_from(TRACKS)))
@settings(deadline=None, max_examples=120, derandomize=True)
def test_step_1_keeps_tracks_that_were_listened_to(rows: list[Row], heard: list[str]) -> None:
    found = keep_listened(ANNOTATIONS.from_rows(rows), pa.array(heard, pa.string()))
    assert counted(found.to_pylist()) == counted([row for row in rows if row["track_id"] in heard])


@pytest.mark.parametrize("least", [0, 0.5, 50])
@given(rows=rows)
@settings(deadline=None, max_examples=120, derandomize=True)
def test_step_2_drops_zeros_or_what_is_below_and_keeps_what_has_no_score(least: float, rows: list[Row]) -> None:
    found = drop_low_scores(ANNOTATIONS.from_rows(rows), least)

    def stays(score: float | None) -> bool:
        return score is None or (score > 0 if least == 0 else score >= least)

    assert counted(found.to_pylist()) == counted([row for row in rows if stays(row["score"])])


@pytest.mark.parametrize("most", [1, 2, 3, None])
@given(rows=rows)
@settings(deadline=None, max_examples=120, derandomize=True)
def test_step_3_drops_tracks_of_too_many_distinct_tags(most: int | None, rows: list[Row]) -> None:
    stay, over = drop_overtagged(ANNOTATIONS.from_rows(rows), most)
    tags = defaultdict(set)
    for row in rows:
        tags[row["track_id"]].add(row["raw_tag"])
    leave = {track: len(found) for track, found in tags.items() if most is not None and len(found) > most}
    assert {row["track_id"]: row["tags"] for row in over.to_pylist()} == leave
    assert counted(stay.to_pylist()) == counted([row for row in rows if row["track_id"] not in leave])


@given(rows)
@settings(deadline=None, max_examples=120, derandomize=True)
def test_an_artists_own_name_is_dropped_from_that_artists_tracks_only(rows: list[Row]) -> None:
    names = {"t1": "The Who", "t2": "Who", "t3": "Blues", "t4": "!!!"}
    kept = {artist_key("blues")}
    found = drop_artist_names(ANNOTATIONS.from_rows(rows), names, kept)

    def own(row: Row) -> bool:
        key = artist_key(row["raw_tag"])
        return row["track_id"] in names and key == artist_key(names[row["track_id"]]) and key not in kept

    assert counted(found.to_pylist()) == counted([row for row in rows if not own(row)])


@given(st.lists(rows, min_size=1, max_size=3))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_counts_are_of_tracks_however_many_sources_and_parts(parts: list[list[Row]]) -> None:
    apart = [
        [{**row, "track_id": f"{row['track_id']} of part {number}"} for row in part]
        for number, part in enumerate(parts)
    ]
    found = merge_counts([count_tags(ANNOTATIONS.from_rows(part)) for part in apart])
    tracks: dict[str, set[str]] = defaultdict(set)
    by_source: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in [row for part in apart for row in part]:
        tracks[row["raw_tag"]].add(row["track_id"])
        by_source[row["raw_tag"]][row["source"]].add(row["track_id"])
    assert found == [
        TagCount(tag, len(tracks[tag]), min(sources, key=lambda s: (-len(sources[s]), s)))
        for tag, sources in sorted(by_source.items())
    ]
    assert merge_counts([]) == []


@given(rows, st.dictionaries(st.sampled_from(TAGS), st.sampled_from(["rock", "sad"])))
@settings(deadline=None, max_examples=120, derandomize=True)
def test_tags_become_their_groups_once_a_track(rows: list[Row], vocabulary: dict[str, str]) -> None:
    table = pa.table(
        {"raw_tag": list(vocabulary), "tag": list(vocabulary.values())},
        schema=pa.schema([("raw_tag", pa.string()), ("tag", pa.string())]),
    )
    found = map_tags(ANNOTATIONS.from_rows(rows), table)
    pairs = {(r["track_id"], vocabulary[r["raw_tag"]]) for r in rows if r["raw_tag"] in vocabulary}
    assert sorted((r["track_id"], r["tag"]) for r in found.to_pylist()) == sorted(pairs)


@given(
    st.sets(st.tuples(st.sampled_from(TRACKS), st.sampled_from("abcde"))),
    st.integers(1, 4),
    st.sampled_from([None, 1, 2, 99]),
)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_step_6_keeps_frequent_tags_and_of_them_the_most_frequent(
    pairs: set[tuple[str, str]], least: int, top: int | None
) -> None:
    table = pa.table(
        {"track_id": [p[0] for p in sorted(pairs)], "tag": [p[1] for p in sorted(pairs)]},
        schema=pa.schema([("track_id", pa.string()), ("tag", pa.string())]),
    )
    found, totals = keep_frequent(table, least, top)
    counts = Counter(tag for _, tag in pairs)
    assert totals == counts
    stay = sorted((t for t in counts if counts[t] >= least), key=lambda t: (-counts[t], t))[:top]
    assert {(r["track_id"], r["tag"]) for r in found.to_pylist()} == {p for p in pairs if p[1] in stay}
    ids = pa.array(TRACKS[::-1])
    assert tags_by_track(found, ids).to_pylist() == [
        sorted(tag for track, tag in pairs if track == wanted and tag in stay) for wanted in TRACKS[::-1]
    ]
