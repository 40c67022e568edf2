"""The search for a split: whole groups move and swap between splits while the cost falls.

The cost is the weighted squared distance of the counts from their targets, and penalties for what makes a number
worthless: a tag that has too few rows in a split, or comes from too few groups, or for a good part from one.

The search is simulated annealing (Kirkpatrick et al. 1983): what costs a little more is accepted as well, ever
more rarely, and descents begin and end it. The inner loop is compiled. It is budgeted in proposals, never by the
clock, draws from a generator of its own, and uses no function of a mathematical library, so that a seed gives one
result on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

# A proposal visits every count of a group: where there are many, fewer are made.
VISITS_PER_EFFORT = 50_000_000
MOST_PER_GROUP, LEAST_PER_GROUP = 5000, 50
DESCENTS = 20
# The temperature: it begins at so many times what a move changes in the middle, and is halved so often.
_HOT = 10.0
_HALVINGS = 12
# Where a search goes on from what was found before it is less hot, and where that is only mended it is shorter.
_WARM, _MENDED_PART = 0.125, 4
_PROBES = 2000
_LN2 = 0.6931471805599453

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """What is to be split.

    Attributes:
        offsets, columns, values: the groups as a CSR matrix (groups, columns) of counts; a column is a tag, or
            the number of tracks.
        targets: float64 (splits, columns), what each split should hold of each column.
        weights: float64 (splits, columns), what a squared miss costs.
        pinned: int64 (groups,), the split that a group must be in, or -1.
        least, least_weights: float64 (splits, columns), below which count a squared lack costs that much more.
        heads, heads_weights: float64 (splits, columns), how many groups with the column each split should have,
            and what a squared miss costs.
        few, few_weights: float64 (splits, columns), below how many groups a squared lack costs that much more.
        places: float64 (groups, splits), what a group costs in a split whatever else is there.
    """

    offsets: Codes
    columns: Codes
    values: Floats
    targets: Floats
    weights: Floats
    pinned: Codes
    least: Floats | None = None
    least_weights: Floats | None = None
    heads: Floats | None = None
    heads_weights: Floats | None = None
    few: Floats | None = None
    few_weights: Floats | None = None
    places: Floats | None = None

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.offsets) - 1


def solve(problem: Problem, start: Codes, seed: int, effort: int, *, warm: bool = False) -> Codes:
    """Improve an assignment of groups to splits.

    Args:
        start: int64 (groups,), where to begin.
        effort: the budget, in units of at most `VISITS_PER_EFFORT`; doubling it is never worse.
        warm: whether `start` was found by a search, and only a little is to be mended.

    Returns:
        int64 (groups,), never costlier than `start`.
    """
    free = np.flatnonzero(problem.pinned < 0)
    if not len(free) or len(problem.targets) < 2:
        return start.astype(np.int64)
    nothing = np.zeros_like(problem.targets)
    targets, few = problem.targets, _or(problem.few, nothing)
    table = np.stack(
        [
            problem.weights,
            _or(problem.least_weights, nothing),
            _or(problem.least, nothing) - targets,
            _or(problem.heads_weights, nothing),
            _or(problem.few_weights, nothing),
            few,
        ],
        axis=-1,
    )
    best: Codes = _search(
        problem.offsets,
        problem.columns,
        problem.values,
        targets,
        _or(problem.heads, nothing),
        np.ascontiguousarray(table),
        _or(problem.places, np.zeros((problem.groups, len(targets)))),
        free,
        start.astype(np.int64),
        np.uint64(seed * 2 + 1 & 0xFFFFFFFFFFFFFFFF),
        _lengths(problem, len(free), effort, warm),
        _HOT * _WARM if warm else _HOT,
    )
    return best


def _lengths(problem: Problem, free: int, effort: int, warm: bool) -> Codes:
    """How many proposals each annealing makes, int64 (annealings,): each as many as all before it, so that twice
    the effort goes on where half of it ended."""
    visits = max(1, len(problem.columns) // max(1, problem.groups))
    unit = min(MOST_PER_GROUP * free, max(LEAST_PER_GROUP * free, VISITS_PER_EFFORT // visits))
    unit //= _MENDED_PART if warm else 1
    lengths, done = [1], 1
    while done < effort:
        lengths.append(min(done, effort - done))
        done += lengths[-1]
    return np.array(lengths, np.int64) * unit


def _or(given: Floats | None, otherwise: Floats) -> Floats:
    return otherwise if given is None else given


@njit(cache=True)
def _draw(state: npt.NDArray[np.uint64], below: int) -> int:
    """A number in 0..below-1 from xorshift64*; `state` has one element."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.int64((x * np.uint64(2685821657736338717) >> np.uint64(33)) % np.uint64(below))  # type: ignore[return-value]


@njit(cache=True)
def _change(v: float, miss: float, over: float, rule: Floats, heads: float) -> float:
    """What one count of one split adds to the cost when it grows by `v` (a row falls when it is negative).

    Args:
        miss: rows minus their target; over: groups minus theirs; heads: groups.
        rule: weight, weight and place of too few rows, weight of groups, weight and place of too few groups.
    """
    change: float = rule[0] * v * (v + 2.0 * miss)
    if rule[1] > 0.0:
        before, after = max(0.0, rule[2] - miss), max(0.0, rule[2] - miss - v)
        change += rule[1] * (after * after - before * before)
    one = 1.0 if v > 0.0 else -1.0
    change += rule[3] * one * (one + 2.0 * over)
    if rule[4] > 0.0 and heads <= rule[5] + 1.0:
        before, after = max(0.0, rule[5] - heads), max(0.0, rule[5] - heads - one)
        change += rule[4] * (after * after - before * before)
    return change


@njit(cache=True)
def _shift(
    group: int,
    origin: int,
    target: int,
    offsets: Codes,
    columns: Codes,
    values: Floats,
    state: Floats,
    rules: Floats,
    places: Floats,
) -> float:
    """What the cost changes by when a group moves; `state` is (splits, columns, 3): rows minus their target,
    groups minus theirs, groups."""
    change: float = places[group, target] - places[group, origin]
    for k in range(offsets[group], offsets[group + 1]):
        c, v = columns[k], values[k]
        here, there = state[origin, c], state[target, c]
        change += _change(-v, here[0], here[1], rules[origin, c], here[2])
        change += _change(v, there[0], there[1], rules[target, c], there[2])
    return change


@njit(cache=True)
def _move(
    group: int, origin: int, target: int, offsets: Codes, columns: Codes, values: Floats, state: Floats
) -> None:
    for k in range(offsets[group], offsets[group + 1]):
        c, v = columns[k], values[k]
        state[origin, c, 0] -= v
        state[origin, c, 1] -= 1.0
        state[origin, c, 2] -= 1.0
        state[target, c, 0] += v
        state[target, c, 1] += 1.0
        state[target, c, 2] += 1.0


@njit(cache=True)
def _counted(
    where: Codes, offsets: Codes, columns: Codes, values: Floats, targets: Floats, heads: Floats
) -> Floats:
    state = np.zeros((targets.shape[0], targets.shape[1], 3))
    state[:, :, 0] = -targets
    state[:, :, 1] = -heads
    for group in range(len(where)):
        for k in range(offsets[group], offsets[group + 1]):
            state[where[group], columns[k], 0] += values[k]
            state[where[group], columns[k], 1] += 1.0
            state[where[group], columns[k], 2] += 1.0
    return state


@njit(cache=True)
def _cost(where: Codes, state: Floats, rules: Floats, places: Floats) -> float:
    cost = 0.0
    for split in range(state.shape[0]):
        for c in range(state.shape[1]):
            rule, now = rules[split, c], state[split, c]
            lack, few = max(0.0, rule[2] - now[0]), max(0.0, rule[5] - now[2])
            cost += rule[0] * now[0] * now[0] + rule[1] * lack * lack
            cost += rule[3] * now[1] * now[1] + rule[4] * few * few
    for group in range(len(where)):
        cost += places[group, where[group]]
    return cost


@njit(cache=True)
def _exponential(draws: npt.NDArray[np.uint64]) -> float:
    """A number of about the exponential distribution: how often a coin shows heads, and a part of once more."""
    bits = _draw(draws, 1 << 30)
    heads = 0
    while bits & 1 == 1:
        heads += 1
        bits >>= 1
    return _LN2 * (heads + _draw(draws, 1024) / 1024.0)


@njit(cache=True)
def _median_change(
    free: Codes,
    where: Codes,
    offsets: Codes,
    columns: Codes,
    values: Floats,
    state: Floats,
    rules: Floats,
    places: Floats,
    draws: npt.NDArray[np.uint64],
) -> float:
    """What a move that changes the cost changes it by, up or down, in the middle of many."""
    splits = state.shape[0]
    found = np.empty(_PROBES)
    count = 0
    for _ in range(_PROBES):
        group = free[_draw(draws, len(free))]
        target = (where[group] + 1 + _draw(draws, splits - 1)) % splits
        change = abs(_shift(group, where[group], target, offsets, columns, values, state, rules, places))
        if change > 1e-9:
            found[count] = change
            count += 1
    return np.sort(found[:count])[count // 2] if count else 0.0


@njit(cache=True)
def _anneal(
    free: Codes,
    where: Codes,
    offsets: Codes,
    columns: Codes,
    values: Floats,
    state: Floats,
    rules: Floats,
    places: Floats,
    draws: npt.NDArray[np.uint64],
    proposals: int,
    hottest: float,
) -> None:
    """Propose moves and swaps, one as often as the other; one that costs more is accepted with probability
    exp(-what it costs / temperature)."""
    splits = state.shape[0]
    heat = hottest
    for number in range(proposals):
        if number % 256 == 0:
            # Between two halvings it falls evenly.
            passed = _HALVINGS * (number / proposals)
            heat = hottest * (1.0 - 0.5 * (passed - int(passed)))
            for _ in range(int(passed)):
                heat *= 0.5
        group = free[_draw(draws, len(free))]
        origin = where[group]
        allowed = heat * _exponential(draws)
        if _draw(draws, 2) == 0:
            target = (origin + 1 + _draw(draws, splits - 1)) % splits
            if _shift(group, origin, target, offsets, columns, values, state, rules, places) < allowed:
                _move(group, origin, target, offsets, columns, values, state)
                where[group] = target
            continue
        other = free[_draw(draws, len(free))]
        target = where[other]
        if target == origin:
            continue
        there = _shift(group, origin, target, offsets, columns, values, state, rules, places)
        _move(group, origin, target, offsets, columns, values, state)
        back = _shift(other, target, origin, offsets, columns, values, state, rules, places)
        if there + back < allowed:
            _move(other, target, origin, offsets, columns, values, state)
            where[group], where[other] = target, origin
        else:
            _move(group, target, origin, offsets, columns, values, state)


@njit(cache=True)
def _descend(
    free: Codes,
    where: Codes,
    offsets: Codes,
    columns: Codes,
    values: Floats,
    state: Floats,
    rules: Floats,
    places: Floats,
    draws: npt.NDArray[np.uint64],
) -> None:
    """Move each group where it costs the least, over and over, until no move is better."""
    splits = state.shape[0]
    order = free.copy()
    for _ in range(DESCENTS):
        for i in range(len(order) - 1, 0, -1):
            j = _draw(draws, i + 1)
            order[i], order[j] = order[j], order[i]
        improved = False
        for group in order:
            origin = where[group]
            best_change, best_target = -1e-9, origin
            for target in range(splits):
                if target != origin:
                    change = _shift(group, origin, target, offsets, columns, values, state, rules, places)
                    if change < best_change:
                        best_change, best_target = change, target
            if best_target != origin:
                _move(group, origin, best_target, offsets, columns, values, state)
                where[group] = best_target
                improved = True
        if not improved:
            break


@njit(cache=True)
def _search(
    offsets: Codes,
    columns: Codes,
    values: Floats,
    targets: Floats,
    heads: Floats,
    rules: Floats,
    places: Floats,
    free: Codes,
    start: Codes,
    seed: np.uint64,
    lengths: Codes,
    hot: float,
) -> Codes:
    """Anneal from the best that is known, as often as there are lengths, and keep what is better."""
    draws = np.empty(1, np.uint64)
    draws[0] = seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    best = start.copy()
    state = _counted(best, offsets, columns, values, targets, heads)
    best_cost = _cost(best, state, rules, places)
    where = start.copy()
    _descend(free, where, offsets, columns, values, state, rules, places, draws)
    hottest = hot * _median_change(free, where, offsets, columns, values, state, rules, places, draws)
    for attempt in range(len(lengths)):
        _anneal(free, where, offsets, columns, values, state, rules, places, draws, lengths[attempt], hottest)
        # Recomputed, so that rounding in the updates decides nothing.
        state = _counted(where, offsets, columns, values, targets, heads)
        _descend(free, where, offsets, columns, values, state, rules, places, draws)
        state = _counted(where, offsets, columns, values, targets, heads)
        cost = _cost(where, state, rules, places)
        if cost < best_cost:
            best_cost = cost
            best[:] = where
        else:
            where[:] = best
            state = _counted(where, offsets, columns, values, targets, heads)
        if attempt == 0:
            hottest *= _WARM
    return best
