from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.fairness import can_be_fair, lacking

PART = 0.8


@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([-1, -1, -1, 0, 1, 2])), min_size=1, max_size=7),
    st.lists(st.integers(1, 6), min_size=2, max_size=3),
)
@settings(deadline=None, max_examples=200, derandomize=True)
def test_what_can_be_fair_is_what_some_assignment_makes_fair(
    groups: list[tuple[int, int]], weights: list[int]
) -> None:
    shares = np.array(weights) / sum(weights)
    counts, pins = np.array([count for count, _ in groups]), np.array([pin for _, pin in groups])
    pins[pins >= len(weights)] = -1
    needs = [math.ceil(PART * share * counts.sum() - 1e-9) for share in shares]
    choices = [[int(pin)] if pin >= 0 else range(len(weights)) for pin in pins]
    fair = any(all(np.bincount(where, counts, len(weights)) >= needs) for where in itertools.product(*choices))
    assert can_be_fair(counts, pins, shares, PART) == fair


def test_lacking_is_below_four_fifths_of_the_fair_share() -> None:
    counts = np.array([[80, 9, 0], [8, 0, 0], [12, 1, 0]])
    found = lacking(counts, np.array([0.8, 0.1, 0.1]), PART)
    assert found.tolist() == [[False, False, False], [False, True, False], [False, False, False]]


def test_where_the_table_would_be_too_large_nothing_is_said() -> None:
    counts = np.full(1000, 1_000_000)
    assert can_be_fair(counts, np.full(1000, -1), np.array([0.4, 0.3, 0.3]), PART) is None
