"""How near a split is to what no split can beat.

Label distance is a mean over labels and splits of |odds in the split - odds in the whole|. For splits of given
sizes the odds of a label in a split depend on one number, how many rows of the split have the label; and that
number is a sum of some of the groups' counts, for no group is torn. So, for one label:

1. a count that is no subset sum of the groups' counts cannot be reached (the sums are one bit each of a long
   integer, and a group shifts it);
2. the counts of all splits add up to the label's total, so the last follows from the others;
3. the least of the label's cost over all such counts is at most what any split pays for it.

Adding up over labels gives a bound, since the best for each label alone is at most what the one split that serves
all can give it. It may lie below every split there is, never above one. Only the counts next to the ideal are tried
together; whatever lies farther off is taken at the cost of the nearest one left out, with the others at their best:
that is lower still, so the bound holds.
"""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import numpy.typing as npt

from pipelines.splits.labels import Codes
from pipelines.splits.solver import Floats

_COMBINATIONS = 20_000
_MOST_NEAR = 128


def label_distance_bound(columns: Codes, values: Floats, labels: int, sizes: npt.NDArray[np.int64]) -> float:
    """A label distance that no split into parts of these sizes that tears no group can beat.

    Args:
        columns, values: int64 and float64 (entries,), one entry for each label of each group: the label, and how
            many rows of the group have it. Entries from label `labels` on are left out.
        sizes: int64 (splits,), rows of each split.

    Returns:
        at most `measures.label_distance` of any such split.
    """
    used = sizes[sizes > 0]
    rows = int(used.sum())
    order = np.argsort(columns, kind="stable")
    ends = np.searchsorted(columns[order], np.arange(labels + 1))
    counts = values[order].astype(np.int64)
    costs = []
    for label in range(labels):
        held = counts[ends[label] : ends[label + 1]]
        total = int(held.sum())
        if 0 < total < rows:
            costs.append(_least_cost(held, total, used, rows))
    return float(np.mean(costs)) if costs else 0.0


def reachable_sums(counts: npt.NDArray[np.int64]) -> int:
    """Every sum of a subset of some whole numbers, as the bits of an integer: bit n is set when n is a sum."""
    sums = 1
    for value, times in sorted(Counter(counts.tolist()).items()):
        step = 1
        # 1, 2, 4, … of a number and what is left give every multiple up to `times`.
        while times > 0:
            taken = min(step, times)
            sums |= sums << (value * taken)
            times -= taken
            step *= 2
    return sums


def _least_cost(counts: npt.NDArray[np.int64], total: int, sizes: npt.NDArray[np.int64], rows: int) -> float:
    """The least mean over splits of |odds - odds of the whole| for one label."""
    sums = reachable_sums(counts)
    bits = np.frombuffer(sums.to_bytes(total // 8 + 1, "little"), np.uint8)
    reached = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
    whole = total / (rows - total)
    splits = len(sizes)
    near = max(2, min(_MOST_NEAR, int(_COMBINATIONS ** (1 / max(1, splits - 1)))))
    kept, prices, beyond = [], [], []
    for size in sizes.tolist():
        fitting = reached[reached <= size]
        price = np.abs(fitting / np.maximum(size - fitting, 0.5) - whole)
        order = np.argsort(price, kind="stable")
        kept.append(fitting[order[:near]])
        prices.append(price[order[:near]])
        beyond.append(float(price[order[near]]) if len(order) > near else np.inf)
    best = np.array([price[0] for price in prices])
    # What leaves out of any split the counts that were tried pays at least this.
    outside = min(float(best.sum() - best[split] + beyond[split]) for split in range(splits))
    inside = _least_together(kept, prices, total)
    return min(inside, outside) / splits


def _least_together(kept: list[npt.NDArray[np.int64]], prices: list[Floats], total: int) -> float:
    """The least sum of prices over one count for each split, the counts adding up to `total`."""
    last = dict(zip(kept[-1].tolist(), prices[-1].tolist(), strict=True))
    if len(kept) == 1:
        return float(last.get(total, np.inf))
    counts, cost = kept[0], prices[0]
    for more, price in itertools.islice(zip(kept, prices, strict=True), 1, len(kept) - 1):
        counts = np.add.outer(counts, more).ravel()
        cost = np.add.outer(cost, price).ravel()
    lefts = total - counts
    ends = np.sort(kept[-1])
    place = np.minimum(np.searchsorted(ends, lefts), len(ends) - 1)
    held = ends[place] == lefts
    if not held.any():
        return float("inf")
    sorted_price = np.array([last[int(end)] for end in ends])
    return float((cost[held] + sorted_price[place[held]]).min())
