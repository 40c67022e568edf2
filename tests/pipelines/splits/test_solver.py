from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.splits.solver import Problem, solve

Cost = Callable[[Problem, NDArray[np.int64]], float]


def problem_of(counts: list[list[int]], shares: list[float], pinned: list[int] | None = None) -> Problem:
    matrix = np.array(counts, np.float64)
    present = matrix > 0
    targets = np.outer(shares, matrix.sum(axis=0))
    return Problem(
        np.concatenate([[0], present.sum(axis=1).cumsum()]).astype(np.int64),
        np.nonzero(present)[1].astype(np.int64),
        matrix[present],
        targets,
        1 / np.maximum(targets, 1e-12),
        np.array(pinned if pinned is not None else [-1] * len(counts), np.int64),
    )


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    groups, columns, splits = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(2, 3))
    row = st.lists(st.integers(0, 5), min_size=columns, max_size=columns).map(lambda r: [*r, max(1, *r)])
    counts = draw(st.lists(row, min_size=groups, max_size=groups))
    weights = draw(st.lists(st.integers(1, 8), min_size=splits, max_size=splits))
    pins = draw(st.lists(st.sampled_from([-1, -1, -1, *range(splits)]), min_size=groups, max_size=groups))
    return problem_of(counts, [w / sum(weights) for w in weights], pins)


@given(problems(), st.integers(0, 3))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_small_problems_are_solved_to_the_optimum(
    cost: Cost, least_cost: Callable[[Problem], float], problem: Problem, seed: int
) -> None:
    start = np.where(problem.pinned >= 0, problem.pinned, 0)
    found = solve(problem, start, seed, 1)
    assert cost(problem, found) == pytest.approx(least_cost(problem), abs=1e-6)
    assert np.array_equal(found[problem.pinned >= 0], problem.pinned[problem.pinned >= 0])


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=10, derandomize=True)
def test_the_result_is_never_farther_from_the_targets_than_the_start(cost: Cost, number: int) -> None:
    rng = np.random.default_rng(number)
    groups, splits = int(rng.integers(20, 200)), int(rng.integers(2, 5))
    counts = rng.poisson(0.7, (groups, 12)).tolist()
    problem = problem_of([[*row, 1 + max(row)] for row in counts], rng.dirichlet([4] * splits).tolist())
    start = rng.integers(0, splits, groups)
    found = solve(problem, start, number, 1)
    assert set(np.unique(found)) <= set(range(splits))
    assert cost(problem, found) <= cost(problem, start)
    again = solve(problem, found, number + 1, 1)
    assert cost(problem, again) <= cost(problem, found)


def test_no_single_move_would_be_better(cost: Cost) -> None:
    rng = np.random.default_rng(3)
    problem = problem_of([[*row, 4] for row in rng.poisson(0.7, (60, 10)).tolist()], [0.7, 0.15, 0.15])
    found = solve(problem, np.zeros(60, np.int64), 0, 1)
    reached = cost(problem, found)
    for group in range(60):
        for split in range(3):
            moved = found.copy()
            moved[group] = split
            assert cost(problem, moved) >= reached - 1e-6


def test_more_effort_is_never_worse_and_the_start_is_not_changed(cost: Cost) -> None:
    rng = np.random.default_rng(5)
    problem = problem_of([[*row, 5] for row in rng.poisson(0.7, (80, 15)).tolist()], [0.6, 0.4])
    start = rng.integers(0, 2, 80)
    kept = start.copy()
    costs = [cost(problem, solve(problem, start, 1, effort)) for effort in (1, 2, 8)]
    assert costs == sorted(costs, reverse=True)
    assert np.array_equal(start, kept)


@pytest.mark.parametrize("seed", [-1, -(2**70), 2**63, 2**64 - 1, 2**80])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    problem = problem_of([[1, 1], [1, 1], [2, 2]], [0.5, 0.5])
    found: Any = solve(problem, np.zeros(3, np.int64), seed, 1)
    assert sorted(np.bincount(found, weights=[1, 1, 2]).tolist()) == [2, 2]


def test_when_all_are_pinned_nothing_moves() -> None:
    problem = problem_of([[1, 1]] * 4, [0.5, 0.5], [1, 1, 1, 0])
    assert solve(problem, np.array([1, 1, 1, 0]), 0, 1).tolist() == [1, 1, 1, 0]
