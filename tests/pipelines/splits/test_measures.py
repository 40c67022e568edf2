from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.measures import label_counts, label_distance, share_deviation

rows = st.lists(
    st.tuples(st.lists(st.sampled_from("abcd"), max_size=4), st.sampled_from(["x", "y", "z"])), max_size=25
)


@given(rows)
@settings(deadline=None, max_examples=200, derandomize=True)
def test_counts_and_distance_are_those_of_the_definition(rows: list[tuple[list[str], str]]) -> None:
    names, vocabulary = ["y", "x"], ["d", "a", "b"]
    counts, sizes = label_counts([r[0] for r in rows], [r[1] for r in rows], names, vocabulary)
    kept = [(set(labels), split) for labels, split in rows if split in names]
    assert sizes.tolist() == [sum(split == name for _, split in kept) for name in names]
    assert counts.tolist() == [
        [sum(tag in have and split == name for have, split in kept) for tag in vocabulary] for name in names
    ]

    gaps = []
    for tag in vocabulary:
        have = sum(tag in labels for labels, _ in kept)
        if not 0 < have < len(kept):
            continue
        for name in names:
            part = [labels for labels, split in kept if split == name]
            if not part:
                continue
            inside = sum(tag in labels for labels in part)
            # Where all rows of a split have the tag its odds are without bound: half a row stands in.
            odds = inside / (len(part) - inside) if inside < len(part) else inside / 0.5
            gaps.append(abs(odds - have / (len(kept) - have)))
    assert label_distance(counts, sizes) == pytest.approx(np.mean(gaps) if gaps else 0.0)


def test_label_distance_of_a_hand_worked_case() -> None:
    """Odds: whole 4/6; first split 3/2, second 1/4."""
    found = label_distance(np.array([[3], [1]]), np.array([5, 5]))
    assert found == pytest.approx((abs(3 / 2 - 4 / 6) + abs(1 / 4 - 4 / 6)) / 2)


def test_a_perfect_split_has_no_distance() -> None:
    counts = np.array([[6, 2], [3, 1]])
    assert label_distance(counts, np.array([10, 5])) == 0
    assert share_deviation(counts, {"a": 2 / 3, "b": 1 / 3}, ["a", "b"]) == pytest.approx((0, 0))


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=2, max_size=2))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_share_deviation_is_that_of_the_definition(table: list[list[int]]) -> None:
    ratios = {"a": 0.8, "b": 0.2}
    gaps = [
        abs(table[row][column] / total - ratio)
        for column in range(3)
        if (total := table[0][column] + table[1][column])
        for row, ratio in enumerate(ratios.values())
    ]
    expected = (np.mean(gaps), max(gaps)) if gaps else (0, 0)
    assert share_deviation(np.array(table), ratios, ["a", "b"]) == pytest.approx(expected)


def test_no_labels_and_no_rows_are_no_distance() -> None:
    nothing = np.zeros((2, 0), np.int64)
    assert label_distance(nothing, np.array([3, 4])) == 0
    assert label_distance(np.zeros((0, 3), np.int64), np.zeros(0, np.int64)) == 0
    assert share_deviation(nothing, {"a": 0.5, "b": 0.5}, ["a", "b"]) == (0, 0)
