"""The search for a split: whole groups move and swap between splits while the distance to the targets falls.

The inner loop is compiled. It is budgeted in sweeps over the groups, never by the clock, and draws from a
generator of its own, so that a seed gives one result on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

SWEEPS_PER_ROUND = 4
ROUNDS_PER_EFFORT = 120
SWAPS_PER_GROUP = 8
KICKED_SHARE = 0.01


@dataclass(frozen=True)
class Problem:
    """What is to be split.

    Attributes:
        offsets, columns, values: the groups as a CSR matrix (groups, columns) of counts; a column is a tag, or
            the number of tracks.
        targets: float64 (splits, columns), what each split should hold of each column.
        weights: float64 (splits, columns), what a squared miss costs.
        pinned: int64 (groups,), the split that a group must be in, or -1.
    """

    offsets: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    pinned: npt.NDArray[np.int64]

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.offsets) - 1


def solve(problem: Problem, start: npt.NDArray[np.int64], seed: int, effort: int) -> npt.NDArray[np.int64]:
    """Improve an assignment of groups to splits.

    Args:
        start: int64 (groups,), where to begin.
        effort: the budget, in units of `ROUNDS_PER_EFFORT` rounds of at most four sweeps.

    Returns:
        int64 (groups,), never farther from the targets than `start`.
    """
    best: npt.NDArray[np.int64] = _search(
        problem.offsets,
        problem.columns,
        problem.values,
        problem.targets,
        problem.weights,
        problem.pinned,
        start.astype(np.int64),
        np.uint64(seed * 2 + 1 & 0xFFFFFFFFFFFFFFFF),
        effort * ROUNDS_PER_EFFORT,
    )
    return best


@njit(cache=True)
def _draw(state: npt.NDArray[np.uint64], below: int) -> int:
    """A number in 0..below-1 from xorshift64*; `state` has one element."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return int((x * np.uint64(2685821657736338717) >> np.uint64(33)) % np.uint64(below))


@njit(cache=True)
def _shift(
    group: int,
    origin: int,
    target: int,
    offsets: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    miss: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
) -> float:
    """What the cost changes by when a group moves; `miss` is counts minus targets, (splits, columns)."""
    change = 0.0
    for k in range(offsets[group], offsets[group + 1]):
        c, v = columns[k], values[k]
        change += weights[origin, c] * v * (v - 2.0 * miss[origin, c])
        change += weights[target, c] * v * (v + 2.0 * miss[target, c])
    return change


@njit(cache=True)
def _move(
    group: int,
    origin: int,
    target: int,
    offsets: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    miss: npt.NDArray[np.float64],
) -> None:
    for k in range(offsets[group], offsets[group + 1]):
        miss[origin, columns[k]] -= values[k]
        miss[target, columns[k]] += values[k]


@njit(cache=True)
def _misses(
    where: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    miss = -targets
    for group in range(len(where)):
        for k in range(offsets[group], offsets[group + 1]):
            miss[where[group], columns[k]] += values[k]
    return miss


@njit(cache=True)
def _search(
    offsets: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    pinned: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    seed: np.uint64,
    rounds: int,
) -> npt.NDArray[np.int64]:
    """Iterated local search: descend by moves and swaps, kick a few groups, descend again, keep the better."""
    groups, splits = len(start), targets.shape[0]
    state = np.empty(1, np.uint64)
    state[0] = seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    where = start.copy()
    best = start.copy()
    miss = _misses(where, offsets, columns, values, targets)
    best_cost = np.sum(weights * miss * miss)
    order = np.arange(groups)
    for attempt in range(rounds):
        if attempt > 0:
            where[:] = best
            kicks = max(2, int(groups * KICKED_SHARE))
            for _ in range(kicks):
                group = _draw(state, groups)
                if pinned[group] < 0:
                    where[group] = _draw(state, splits)
            miss = _misses(where, offsets, columns, values, targets)
        for _ in range(SWEEPS_PER_ROUND):
            for i in range(groups - 1, 0, -1):
                j = _draw(state, i + 1)
                order[i], order[j] = order[j], order[i]
            improved = 0
            for i in range(groups):
                group = order[i]
                if pinned[group] >= 0:
                    continue
                origin = where[group]
                best_change, best_target = -1e-9, origin
                for target in range(splits):
                    if target != origin:
                        change = _shift(group, origin, target, offsets, columns, values, miss, weights)
                        if change < best_change:
                            best_change, best_target = change, target
                if best_target != origin:
                    _move(group, origin, best_target, offsets, columns, values, miss)
                    where[group] = best_target
                    improved += 1
                    continue
                for _ in range(SWAPS_PER_GROUP):
                    other = _draw(state, groups)
                    target = where[other]
                    if pinned[other] >= 0 or target == origin:
                        continue
                    there = _shift(group, origin, target, offsets, columns, values, miss, weights)
                    _move(group, origin, target, offsets, columns, values, miss)
                    back = _shift(other, target, origin, offsets, columns, values, miss, weights)
                    if there + back < -1e-9:
                        _move(other, target, origin, offsets, columns, values, miss)
                        where[group], where[other] = target, origin
                        improved += 1
                        break
                    _move(group, target, origin, offsets, columns, values, miss)
            if improved == 0:
                break
        # Recomputed, so that rounding in the updates decides nothing.
        miss = _misses(where, offsets, columns, values, targets)
        cost = np.sum(weights * miss * miss)
        if cost < best_cost:
            best_cost = cost
            best[:] = where
    return best
