from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.splits.solver import Problem
from pipelines.splits.stratify import Items

Cost = Callable[[Problem, NDArray[np.int64]], float]


def cost_of(problem: Problem, where: NDArray[np.int64]) -> float:
    counts = np.zeros_like(problem.targets)
    for group in range(problem.groups):
        for k in range(problem.offsets[group], problem.offsets[group + 1]):
            counts[where[group], problem.columns[k]] += problem.values[k]
    return float((problem.weights * (counts - problem.targets) ** 2).sum())


@pytest.fixture(scope="session")
def cost() -> Cost:
    """What an assignment costs, by the definition."""
    return cost_of


@pytest.fixture(scope="session")
def least_cost() -> Callable[[Problem], float]:
    """The least cost over every assignment that keeps the pins."""

    def search(problem: Problem) -> float:
        splits = range(len(problem.targets))
        choices = [[int(pin)] if pin >= 0 else list(splits) for pin in problem.pinned]
        return min(cost_of(problem, np.array(where, np.int64)) for where in itertools.product(*choices))

    return search


@pytest.fixture(scope="session")
def corpus() -> Callable[..., Items]:
    """Artists of unequal size, each with a taste: `rows` rows of about `rows / per_artist` artists."""

    def make(rows: int = 2000, per_artist: float = 12, tags: int = 30, seed: int = 0) -> Items:
        rng = np.random.default_rng(seed)
        sizes = rng.lognormal(sigma=0.8, size=max(2, int(rows / per_artist)))
        artists = rng.choice(len(sizes), rows, p=sizes / sizes.sum())
        popularity = 1 / np.arange(1, tags + 1)
        taste = rng.dirichlet(popularity * 3, int(artists.max()) + 1)
        labels: list[list[str]] = []
        for artist in artists:
            count = int(rng.integers(0, 5))
            drawn = rng.choice(tags, count, replace=False, p=taste[artist] * 0.9 + 0.1 / tags)
            labels.append([f"tag {n}" for n in drawn])
        return Items([f"t{n:06d}" for n in range(rows)], [[f"a{n}" for n in artists]], labels)

    return make


@pytest.fixture(scope="session")
def components() -> Callable[..., list[int]]:
    """Connected rows by brute force: a component is numbered by its first row."""

    def join(*columns: Sequence[str]) -> list[int]:
        parent = list(range(len(columns[0])))

        def root(row: int) -> int:
            while parent[row] != row:
                row = parent[row]
            return row

        for column in columns:
            for a, b in itertools.combinations(range(len(column)), 2):
                if column[a] == column[b]:
                    parent[max(root(a), root(b))] = min(root(a), root(b))
        numbers: dict[int, int] = {}
        return [numbers.setdefault(root(row), len(numbers)) for row in range(len(parent))]

    return join
