"""Where the search starts: iterative stratification (Sechidis et al. 2011), of groups instead of rows.

The label that is on the fewest groups left comes first; each of its groups, the largest first, goes where it costs
the least by itself and most of the label is still wanted. scikit-multilearn's does the same for rows of equal size.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipelines.splits.solver import Codes, Floats, Problem


def iterative_stratification(problem: Problem) -> Codes:
    """Give every group a split, int64 (groups,). The last column of the problem counts the rows."""
    labels = problem.targets.shape[1] - 1
    owner = np.repeat(np.arange(problem.groups), np.diff(problem.offsets))
    order = np.lexsort((owner, -problem.values, problem.columns))
    ends = np.concatenate([[0], np.bincount(problem.columns, minlength=labels + 1).cumsum()]).astype(np.int64)
    found: Codes = _stratify(
        problem.offsets,
        problem.columns,
        problem.values,
        ends,
        owner[order].astype(np.int64),
        problem.targets.copy(),
        problem.pinned,
        np.zeros((problem.groups, len(problem.targets))) if problem.places is None else problem.places,
    )
    return found


@njit(cache=True, nogil=True)
def _stratify(
    offsets: Codes,
    columns: Codes,
    values: Floats,
    ends: Codes,
    holders: Codes,
    wanted: Floats,
    pinned: Codes,
    places: Floats,
) -> Codes:
    groups, splits, last = len(offsets) - 1, wanted.shape[0], wanted.shape[1] - 1
    where = np.full(groups, -1, np.int64)
    left = (ends[1:] - ends[:-1]).copy()
    done = np.zeros(last + 1, np.bool_)
    for group in range(groups):
        if pinned[group] >= 0:
            where[group] = pinned[group]
            for k in range(offsets[group], offsets[group + 1]):
                wanted[pinned[group], columns[k]] -= values[k]
                left[columns[k]] -= 1
    for _ in range(last + 1):
        label = -1
        for c in range(last):
            if not done[c] and (label < 0 or left[c] < left[label]):
                label = c
        if label < 0:
            label = last
        done[label] = True
        for i in range(ends[label], ends[label + 1]):
            group = holders[i]
            if where[group] >= 0:
                continue
            best = 0
            for split in range(1, splits):
                cost = places[group, split] - places[group, best]
                more = wanted[split, label] - wanted[best, label]
                if more == 0.0:
                    more = wanted[split, last] - wanted[best, last]
                if cost < 0.0 or (cost == 0.0 and more > 0.0):
                    best = split
            where[group] = best
            for k in range(offsets[group], offsets[group + 1]):
                wanted[best, columns[k]] -= values[k]
                left[columns[k]] -= 1
    return where
