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

from pipelines.progress import BEATS

# A proposal visits every count of a group: where there are many, fewer are made.
VISITS_PER_EFFORT = 50_000_000
MOST_PER_GROUP, LEAST_PER_GROUP = 5000, 50
DESCENTS = 20
_BEAT_EVERY = 1 << 16
# The temperature: it begins at so many times what a move changes in the middle, and is halved so often.
_HOT = 10.0
_HALVINGS = 12
# Where a search goes on from what was found before it is less hot, and where that is only mended it is shorter.
_WARM, _MENDED_PART = 0.125, 4
_PROBES = 2000
_LN2 = 0.6931471805599453

# The ledger of a search has a line of numbers for each column in each split: rows minus their target, groups minus
# theirs, groups; weight of rows, weight and place of too few rows, weight of groups, weight and place of too few
# groups. A column's lines stand together, and all that a step of the search looks at with them.
LINE = 9
NOBODY = -1

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """What is to be split.

    Attributes:
        offsets, columns, values: the groups as a CSR matrix (groups, columns) of counts, a group's columns in
            order; a column is a tag, or the number of tracks.
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
    targets = problem.targets
    ledger = np.zeros((*targets.T.shape, LINE))
    for place, told in enumerate(
        (
            problem.weights,
            _or(problem.least_weights, nothing),
            _or(problem.least, nothing) - targets,
            _or(problem.heads_weights, nothing),
            _or(problem.few_weights, nothing),
            _or(problem.few, nothing),
        ),
        start=3,
    ):
        ledger[:, :, place] = told.T
    best: Codes = _search(
        problem.offsets,
        problem.columns * (len(targets) * LINE),
        problem.values,
        targets,
        _or(problem.heads, nothing),
        ledger.reshape(-1),
        _or(problem.places, np.zeros((problem.groups, len(targets)))),
        free,
        start.astype(np.int64),
        np.uint64(seed * 2 + 1 & 0xFFFFFFFFFFFFFFFF),
        _lengths(problem, len(free), effort, warm),
        _HOT * _WARM if warm else _HOT,
        np.frombuffer(BEATS, np.int64),
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


@njit(cache=True, nogil=True)
def _draw(state: npt.NDArray[np.uint64], below: int) -> int:
    """A number in 0..below-1 from xorshift64*; `state` has one element."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.int64((x * np.uint64(2685821657736338717) >> np.uint64(33)) % np.uint64(below))  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def _change(v: float, at: int, ledger: Floats, rows: float, groups: float) -> float:
    """What one count of one split adds to the cost when it grows by `v` (a row falls when it is negative).

    It is free of branches, and a search spends nearly all of its time here: without a rule its weight is 0.

    Args:
        at: where the line of the count begins.
        rows, groups: that have come to the split and that the ledger does not know yet.
    """
    one = 1.0 if v > 0.0 else -1.0
    miss, over = ledger[at] + rows, ledger[at + 1] + groups
    lack, few = ledger[at + 5] - miss, ledger[at + 8] - (ledger[at + 2] + groups)
    lack_after, few_after = lack - v, few - one
    lack = lack * lack if lack > 0.0 else 0.0
    few = few * few if few > 0.0 else 0.0
    lack_after = lack_after * lack_after if lack_after > 0.0 else 0.0
    few_after = few_after * few_after if few_after > 0.0 else 0.0
    change: float = ledger[at + 3] * v * (v + 2.0 * miss)
    change += ledger[at + 4] * (lack_after - lack)
    change += ledger[at + 6] * one * (one + 2.0 * over)
    change += ledger[at + 7] * (few_after - few)
    return change


@njit(cache=True, nogil=True)
def _shift(
    group: int,
    origin: int,
    target: int,
    gone: int,
    offsets: Codes,
    lines: Codes,
    values: Floats,
    ledger: Floats,
    places: Floats,
) -> float:
    """What the cost changes by when a group moves.

    Args:
        gone: a group that has gone from `target` to `origin` just before, which the ledger does not know yet (most
            swaps are refused), or `NOBODY`.
    """
    change: float = places[group, target] - places[group, origin]
    here, there = origin * LINE, target * LINE
    near = end = 0
    if gone != NOBODY:
        near, end = offsets[gone], offsets[gone + 1]
    for k in range(offsets[group], offsets[group + 1]):
        line, v = lines[k], values[k]
        while near < end and lines[near] < line:
            near += 1
        rows = groups = 0.0
        if near < end and lines[near] == line:
            rows, groups = values[near], 1.0
        change += _change(-v, line + here, ledger, rows, groups)
        change += _change(v, line + there, ledger, -rows, -groups)
    return change


@njit(cache=True, nogil=True)
def _move(
    group: int, origin: int, target: int, offsets: Codes, lines: Codes, values: Floats, ledger: Floats
) -> None:
    here, there = origin * LINE, target * LINE
    for k in range(offsets[group], offsets[group + 1]):
        line, v = lines[k], values[k]
        ledger[line + here] -= v
        ledger[line + here + 1] -= 1.0
        ledger[line + here + 2] -= 1.0
        ledger[line + there] += v
        ledger[line + there + 1] += 1.0
        ledger[line + there + 2] += 1.0


@njit(cache=True, nogil=True)
def _count(
    where: Codes, offsets: Codes, lines: Codes, values: Floats, targets: Floats, heads: Floats, ledger: Floats
) -> None:
    """Write anew what the ledger says of the groups."""
    splits = targets.shape[0]
    for split in range(splits):
        for c in range(targets.shape[1]):
            at = (c * splits + split) * LINE
            ledger[at], ledger[at + 1], ledger[at + 2] = -targets[split, c], -heads[split, c], 0.0
    for group in range(len(where)):
        here = where[group] * LINE
        for k in range(offsets[group], offsets[group + 1]):
            ledger[lines[k] + here] += values[k]
            ledger[lines[k] + here + 1] += 1.0
            ledger[lines[k] + here + 2] += 1.0


@njit(cache=True, nogil=True)
def _cost(where: Codes, ledger: Floats, splits: int, places: Floats) -> float:
    cost = 0.0
    for split in range(splits):
        for at in range(split * LINE, len(ledger), splits * LINE):
            lack, few = max(0.0, ledger[at + 5] - ledger[at]), max(0.0, ledger[at + 8] - ledger[at + 2])
            cost += ledger[at + 3] * ledger[at] * ledger[at] + ledger[at + 4] * lack * lack
            cost += ledger[at + 6] * ledger[at + 1] * ledger[at + 1] + ledger[at + 7] * few * few
    for group in range(len(where)):
        cost += places[group, where[group]]
    return cost


@njit(cache=True, nogil=True)
def _exponential(draws: npt.NDArray[np.uint64]) -> float:
    """A number of about the exponential distribution: how often a coin shows heads, and a part of once more."""
    bits = _draw(draws, 1 << 30)
    heads = 0
    while bits & 1 == 1:
        heads += 1
        bits >>= 1
    return _LN2 * (heads + _draw(draws, 1024) / 1024.0)


@njit(cache=True, nogil=True)
def _median_change(
    free: Codes,
    where: Codes,
    offsets: Codes,
    lines: Codes,
    values: Floats,
    ledger: Floats,
    places: Floats,
    draws: npt.NDArray[np.uint64],
) -> float:
    """What a move that changes the cost changes it by, up or down, in the middle of many."""
    splits = places.shape[1]
    found = np.empty(_PROBES)
    count = 0
    for _ in range(_PROBES):
        group = free[_draw(draws, len(free))]
        target = (where[group] + 1 + _draw(draws, splits - 1)) % splits
        change = abs(_shift(group, where[group], target, NOBODY, offsets, lines, values, ledger, places))
        if change > 1e-9:
            found[count] = change
            count += 1
    return np.sort(found[:count])[count // 2] if count else 0.0


@njit(cache=True, nogil=True)
def _anneal(
    free: Codes,
    where: Codes,
    offsets: Codes,
    lines: Codes,
    values: Floats,
    ledger: Floats,
    places: Floats,
    draws: npt.NDArray[np.uint64],
    proposals: int,
    hottest: float,
    beats: Codes,
) -> None:
    """Propose moves and swaps, one as often as the other; one that costs more is accepted with probability
    exp(-what it costs / temperature)."""
    splits = places.shape[1]
    heat = hottest
    for number in range(proposals):
        if number % _BEAT_EVERY == 0:
            beats[0] += 1
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
            if _shift(group, origin, target, NOBODY, offsets, lines, values, ledger, places) < allowed:
                _move(group, origin, target, offsets, lines, values, ledger)
                where[group] = target
            continue
        other = free[_draw(draws, len(free))]
        target = where[other]
        if target == origin:
            continue
        there = _shift(group, origin, target, NOBODY, offsets, lines, values, ledger, places)
        back = _shift(other, target, origin, group, offsets, lines, values, ledger, places)
        if there + back < allowed:
            _move(group, origin, target, offsets, lines, values, ledger)
            _move(other, target, origin, offsets, lines, values, ledger)
            where[group], where[other] = target, origin


@njit(cache=True, nogil=True)
def _descend(
    free: Codes,
    where: Codes,
    offsets: Codes,
    lines: Codes,
    values: Floats,
    ledger: Floats,
    places: Floats,
    draws: npt.NDArray[np.uint64],
    beats: Codes,
) -> None:
    """Move each group where it costs the least, over and over, until no move is better."""
    splits = places.shape[1]
    order = free.copy()
    for _ in range(DESCENTS):
        beats[0] += 1
        for i in range(len(order) - 1, 0, -1):
            j = _draw(draws, i + 1)
            order[i], order[j] = order[j], order[i]
        improved = False
        for group in order:
            origin = where[group]
            best_change, best_target = -1e-9, origin
            for target in range(splits):
                if target != origin:
                    change = _shift(group, origin, target, NOBODY, offsets, lines, values, ledger, places)
                    if change < best_change:
                        best_change, best_target = change, target
            if best_target != origin:
                _move(group, origin, best_target, offsets, lines, values, ledger)
                where[group] = best_target
                improved = True
        if not improved:
            break


@njit(cache=True, nogil=True)
def _search(
    offsets: Codes,
    lines: Codes,
    values: Floats,
    targets: Floats,
    heads: Floats,
    ledger: Floats,
    places: Floats,
    free: Codes,
    start: Codes,
    seed: np.uint64,
    lengths: Codes,
    hot: float,
    beats: Codes,
) -> Codes:
    """Anneal from the best that is known, as often as there are lengths, and keep what is better."""
    draws = np.empty(1, np.uint64)
    draws[0] = seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    best = start.copy()
    _count(best, offsets, lines, values, targets, heads, ledger)
    best_cost = _cost(best, ledger, places.shape[1], places)
    where = start.copy()
    _descend(free, where, offsets, lines, values, ledger, places, draws, beats)
    hottest = hot * _median_change(free, where, offsets, lines, values, ledger, places, draws)
    for attempt in range(len(lengths)):
        _anneal(free, where, offsets, lines, values, ledger, places, draws, lengths[attempt], hottest, beats)
        # Recomputed, so that rounding in the updates decides nothing.
        _count(where, offsets, lines, values, targets, heads, ledger)
        _descend(free, where, offsets, lines, values, ledger, places, draws, beats)
        _count(where, offsets, lines, values, targets, heads, ledger)
        cost = _cost(where, ledger, places.shape[1], places)
        if cost < best_cost:
            best_cost = cost
            best[:] = where
        else:
            where[:] = best
            _count(where, offsets, lines, values, targets, heads, ledger)
        if attempt == 0:
            hottest *= _WARM
    return best
