from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.artists import artist_key
from pipelines.sources.union import unite_artists
from schemas.tables import TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST


def tracks(*rows: tuple[str, str | None] | tuple[str, str | None, str]) -> pa.Table:
    """One track a row of (artist id, name[, title])."""
    return TRACKS.from_rows(
        {
            "track_id": f"t{number:03d}",
            "artist_id": row[0],
            "artist_name": row[1],
            "title": row[2] if len(row) > 2 else None,
            "recording_id": f"t{number:03d}",
        }
        for number, row in enumerate(rows)
    )


def united(table: pa.Table, keys: list[tuple[str, str]] | None = None) -> list[tuple[str, list[str] | None]]:
    known = pa.table({"artist_id": [a for a, _ in keys], "key": [k for _, k in keys]}) if keys else None
    made, _ = unite_artists(table, known)
    assert made.schema.equals(TRACKS.schema)
    return [(row["artist_id"], row["collaborators"]) for row in made.to_pylist()]


def test_ids_of_one_name_are_one_artist_under_the_id_with_most_tracks() -> None:
    table = tracks(("a1", "The Beatles"), ("a2", "Beatles, The"), ("a2", "BEATLES"), ("a3", "Queen"))
    assert [artist for artist, _ in united(table)] == ["a2", "a2", "a2", "a3"]


def test_ids_of_one_mbid_are_one_artist_whatever_their_names() -> None:
    table = tracks(("a1", "Prince"), ("a2", "The Artist"), ("a3", "Other"))
    keys = [("a1", "mbid-1"), ("a2", "mbid-1"), ("a3", "mbid-3"), ("gone", "mbid-1")]
    assert [artist for artist, _ in united(table, keys)] == ["a1", "a1", "a3"]


def test_names_and_ids_chain() -> None:
    table = tracks(("a1", "X"), ("a1", "Y"), ("a2", "Y"), ("a2", "Z"), ("a3", "z"))
    assert len({artist for artist, _ in united(table)}) == 1


def test_a_collaboration_credits_its_members_and_unites_none() -> None:
    table = tracks(
        ("a1", "Eminem"), ("a2", "Rihanna"), ("a3", "Eminem feat. Rihanna"), ("a1", "Eminem", "Lie (feat. Rihanna)")
    )
    assert united(table) == [("a1", None), ("a2", None), ("a3", ["a1", "a2"]), ("a1", ["a2"])]


def test_a_member_under_two_ids_is_credited_under_the_united_one() -> None:
    table = tracks(("r1", "Rihanna"), ("r2", "RIHANNA"), ("r2", "rihanna"), ("a3", "Eminem ft. Rihanna"))
    assert united(table)[3] == ("a3", ["r2"])


def test_various_artists_are_nobody_and_tie_nobody() -> None:
    table = tracks(
        ("va1", "Various Artists"), ("va2", "V.A."), ("a1", "Xena"), ("a2", "Xena feat. Various Artists")
    )
    assert united(table) == [(UNKNOWN_ARTIST, None), (UNKNOWN_ARTIST, None), ("a1", None), ("a2", ["a1"])]


def test_tracks_without_names_keep_their_ids() -> None:
    assert united(tracks(("a1", None), ("a2", None), (UNKNOWN_ARTIST, None))) == [
        ("a1", None), ("a2", None), (UNKNOWN_ARTIST, None),
    ]  # fmt: skip


def test_collaborators_of_the_source_stay_and_follow_their_artist() -> None:
    rows: list[dict[str, Any]] = tracks(("a1", "A"), ("b1", "B"), ("b2", "B"), ("b2", "B")).to_pylist()
    rows[0]["collaborators"] = ["b1", "a1"]
    assert united(TRACKS.from_rows(rows))[0] == ("a1", ["b2"])


def test_what_was_joined_is_told() -> None:
    _, notes = unite_artists(tracks(("a1", "Abba"), ("a2", "ABBA"), ("v", "Various"), ("a3", "Abba feat. Cher")))
    assert notes == [
        "3 artist ids are 2 artists: 1 joined by name, 0 by another key, such as ABBA = Abba",
        "1 tracks credit other artists who have tracks of their own: they stay together",
        "1 tracks are by various or unknown artists: one group, kept in the first split",
    ]


_IDS = st.sampled_from(["a", "b", "c", "d", UNKNOWN_ARTIST])
_NAMES = st.sampled_from([None, "X", "x", "Y", "Z", "X feat. Y", "Various Artists", "Z & X"])


@given(st.lists(st.tuples(_IDS, _NAMES), max_size=8), st.permutations(range(8)))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_two_tracks_are_one_artists_exactly_when_a_chain_of_ids_and_names_joins_them(
    rows: list[tuple[str, str | None]], order: list[int]
) -> None:
    found = united(tracks(*rows))
    nobody = [a == UNKNOWN_ARTIST or n == "Various Artists" for a, n in rows]
    linked = {(i, i) for i in range(len(rows))}
    for i, j in itertools.product(range(len(rows)), repeat=2):
        (a, n), (b, m) = rows[i], rows[j]
        if not nobody[i] and not nobody[j] and (a == b or (n and m and artist_key(n) == artist_key(m))):
            linked.add((i, j))
    for k, i, j in itertools.product(range(len(rows)), repeat=3):
        if (i, k) in linked and (k, j) in linked:
            linked.add((i, j))
    for i, j in itertools.product(range(len(rows)), repeat=2):
        expected = (i, j) in linked or (nobody[i] and nobody[j])
        assert (found[i][0] == found[j][0]) == expected
    shuffled = [place for place in order if place < len(rows)]
    assert united(tracks(*(rows[place] for place in shuffled))) == [found[place] for place in shuffled]
