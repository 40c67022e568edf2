from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.bounds import label_distance_bound, reachable_sums
from pipelines.splits.measures import label_distance

# Rows of a group, and for each of three labels how many of them have it.
groups = st.integers(1, 4).flatmap(
    lambda rows: st.tuples(st.just(rows), *[st.integers(0, rows) for _ in range(3)]).map(list)
)


@given(st.lists(groups, min_size=1, max_size=6), st.integers(2, 3))
@settings(deadline=None, max_examples=120, derandomize=True)
def test_no_split_of_the_same_sizes_is_below_the_bound(drawn: list[list[int]], splits: int) -> None:
    counts = np.array(drawn)
    columns = np.tile(np.arange(3), len(counts))
    values = counts[:, 1:].astype(np.float64).ravel()
    least: dict[tuple[int, ...], float] = {}
    for where in itertools.product(range(splits), repeat=len(counts)):
        held = np.zeros((splits, 4), np.int64)
        np.add.at(held, list(where), counts)
        sizes = tuple(held[:, 0].tolist())
        least[sizes] = min(least.get(sizes, np.inf), label_distance(held[:, 1:], held[:, 0]))
    for sizes, best in least.items():
        assert label_distance_bound(columns, values, 3, np.array(sizes)) <= best + 1e-12


@given(st.lists(st.integers(1, 3), min_size=2, max_size=7), st.integers(1, 6))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_of_one_label_on_groups_of_one_size_it_is_the_optimum(held: list[int], in_first: int) -> None:
    """Each group has three rows, so that sizes leave every choice of groups open."""
    first = min(in_first, len(held) - 1)
    total, rows = sum(held), 3 * len(held)
    sizes = np.array([3 * first, rows - 3 * first])
    best = min(
        label_distance(np.array([[sum(chosen)], [total - sum(chosen)]]), sizes)
        for chosen in itertools.combinations(held, first)
    )
    bound = label_distance_bound(np.zeros(len(held), np.int64), np.array(held, np.float64), 1, sizes)
    every = min(
        label_distance(np.array([[part], [total - part]]), sizes)
        for size in range(len(held) + 1)
        for chosen in itertools.combinations(held, size)
        if (part := sum(chosen)) <= sizes[0] and total - part <= sizes[1]
    )
    assert bound == pytest.approx(every)
    assert bound <= best + 1e-12


@given(st.lists(st.integers(0, 9), max_size=8))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_sums_are_those_of_subsets(counts: list[int]) -> None:
    found = reachable_sums(np.array(counts, np.int64))
    sums = {sum(part) for size in range(len(counts) + 1) for part in itertools.combinations(counts, size)}
    assert {n for n in range(found.bit_length()) if found >> n & 1} == sums
