from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources import probes, repeated_tracks
from pipelines.sources.probes import TEXT
from pipelines.sources.repeated_tracks import drop_repeated

KINDS = pa.schema(
    [
        ("track_id", TEXT),
        ("audio_uri", TEXT),
        ("recording_id", TEXT),
        ("cut", pa.bool_()),
        ("known", pa.int8()),
    ]
)
Row = tuple[str, str, str, bool, int]


def dropped(
    rows: list[Row], *, keep_recordings: bool = False, cuts: tuple[int, ...] = ()
) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """The rows that stay, and (id, reason, detail) of the others."""
    whole = pa.Table.from_pylist([dict(zip(KINDS.names, row, strict=True)) for row in rows], schema=KINDS)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    table = pa.concat_tables([whole.slice(0, 0), *(whole.slice(a, b - a) for a, b in pairwise(edges))])
    kept, left = drop_repeated(table, keep_recordings=keep_recordings)
    told = sorted((row["id"], row["reason"], row["detail"]) for row in left.to_pylist())
    return [tuple(row.values()) for row in kept.to_pylist()], told


def test_repeats_are_the_same_whatever_the_order() -> None:
    rows = [
        ("b", "2", "s", False, 1),
        ("a", "1", "s", False, 1),
        ("c", "4", "t", False, 1),
        ("c", "3", "u", False, 1),
        ("d", "5", "u", False, 1),
    ]
    kept, left = dropped(rows)
    assert [row[:2] for row in kept] == [("a", "1"), ("c", "3")]
    assert left == [
        ("b", "duplicate_recording", "the same sound as a"),
        ("c", "duplicate_id", "4"),
        ("d", "duplicate_recording", "the same sound as c"),
    ]
    assert dropped(rows[::-1]) == (kept, left)


def by_hand(rows: list[Row], *, keep_recordings: bool) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """The same, row by row."""
    named: dict[str, Row] = {}
    left: list[tuple[str, str, str]] = []
    for row in sorted(rows, key=lambda row: row[:2]):
        if row[0] in named:
            left.append((row[0], "duplicate_id", row[1]))
        else:
            named[row[0]] = row
    kept: list[Row] = []
    for row in named.values():
        copies = [other for other in named.values() if other[2] == row[2]]
        best = min(copies, key=lambda other: (other[3], -other[4], other[0]))
        if keep_recordings or best is row:
            kept.append(row)
        else:
            end = ", and cut off" if row[3] else ""
            left.append((row[0], "duplicate_recording", f"the same sound as {best[0]}{end}"))
    return kept, sorted(left)


@pytest.fixture(params=[2, 50_000])
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (probes, repeated_tracks):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", request.param)


@given(st.data(), st.booleans(), st.integers(0, 7))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("rows_at_once")
def test_what_is_kept_is_what_a_reader_of_the_rule_would_keep(
    data: Any, keep_recordings: bool, ordered: bool
) -> None:
    names = st.text("abé\U0001f3b5", max_size=2)
    rows = data.draw(
        st.lists(
            st.tuples(names, names, names, st.booleans(), st.integers(0, 7)), max_size=12, unique_by=lambda r: r[1]
        )
    )
    rows = sorted(rows) if ordered else rows
    cuts = tuple(data.draw(st.lists(st.integers(1, 12), max_size=3)))
    expected = by_hand(rows, keep_recordings=keep_recordings)
    assert dropped(rows, keep_recordings=keep_recordings, cuts=cuts) == expected
