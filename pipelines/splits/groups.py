"""What may not be torn apart: rows that share a key are one group, as far as it stays small enough to place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipelines.splits.labels import Codes, numbered

FREE = -1
TORN = -2


def joined_groups(*columns: Any) -> Codes:
    """Number the connected components of rows that share a value in any of the columns.

    Args:
        columns: aligned keys, (rows,) each; see `labels.numbered`.

    Returns:
        int64 (rows,): components are numbered by their first row.
    """
    codes = [numbered(column) for column in columns]
    parent = np.arange(len(codes[0]))
    for column in codes:
        _join_equal(parent, column, int(column.max(initial=-1)) + 1)
    return by_first_row(_roots(parent))


def by_first_row(labels: npt.NDArray[np.int64]) -> Codes:
    """Number any labels anew, int64 (rows,), in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def bound_groups(groups: Codes, kept: Codes, count: int) -> Codes:
    """The split that each group is bound to by rows that keep theirs: int64 (count,), `FREE` without such rows and
    `TORN` where they are in several.

    Args:
        groups: int64 (rows,); kept: int64 (rows,), the split of a row, or -1.
    """
    held = np.flatnonzero(kept >= 0)
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, FREE, np.int64)
    np.minimum.at(low, groups[held], kept[held])
    np.maximum.at(high, groups[held], kept[held])
    return np.where(high == FREE, FREE, np.where(low == high, high, TORN))


def join_sets(
    parent: Codes, sizes: Codes, pins: Codes, offsets: Codes, members: Codes, limit: int
) -> npt.NDArray[np.bool_]:
    """Join sets of nodes one after the other, each whole or not at all; `parent`, `sizes` and `pins` change.

    A set is joined when the group that it makes has at most `limit` rows and lies in one split: its nodes are
    free, or bound to the same.

    Args:
        parent: int64 (nodes,), a forest of disjoint sets, as `numpy.arange` to begin with.
        sizes: int64 (nodes,), rows of each node.
        pins: int64 (nodes,), the split that a node is bound to, `FREE`, or `TORN` (bound to several).
        offsets, members: int64 (sets + 1,) and (entries,), the nodes of each set.
        limit: the most rows of a joined group.

    Returns:
        bool (sets,), whether the nodes of the set are in one group when all is done.
    """
    _join_sets(parent, sizes, pins, offsets, members, limit)
    roots = _roots(parent)
    first = roots[members[np.minimum(offsets[:-1], max(0, len(members) - 1))]] if len(members) else offsets[:-1]
    apart = np.zeros(len(offsets) - 1, np.int64)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    np.add.at(apart, owner, roots[members] != first[owner])
    together: npt.NDArray[np.bool_] = apart == 0
    return together


def roots(parent: Codes) -> Codes:
    """The node that speaks for each node's set, int64 (nodes,)."""
    found: Codes = _roots(parent)
    return found


@njit(cache=True, nogil=True)
def _root(parent: Codes, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def _roots(parent: Codes) -> Codes:
    found = np.empty(len(parent), np.int64)
    for node in range(len(parent)):
        found[node] = _root(parent, node)
    return found


@njit(cache=True, nogil=True)
def _join_equal(parent: Codes, codes: Codes, count: int) -> None:
    first = np.full(count, -1, np.int64)
    for row in range(len(codes)):
        code = codes[row]
        if first[code] < 0:
            first[code] = row
        else:
            one, other = _root(parent, first[code]), _root(parent, row)
            if one < other:
                parent[other] = one
            elif other < one:
                parent[one] = other


@njit(cache=True, nogil=True)
def _join_sets(parent: Codes, sizes: Codes, pins: Codes, offsets: Codes, members: Codes, limit: int) -> None:
    for number in range(len(offsets) - 1):
        start, end = offsets[number], offsets[number + 1]
        total, pin, fits = 0, -1, True
        for k in range(start, end):
            root = _root(parent, members[k])
            seen = False
            for j in range(start, k):
                if _root(parent, members[j]) == root:
                    seen = True
                    break
            if seen:
                continue
            total += sizes[root]
            if pins[root] == -2 or (pins[root] >= 0 and pin >= 0 and pins[root] != pin):
                fits = False
                break
            if pins[root] >= 0:
                pin = pins[root]
        if not fits or total > limit:
            continue
        base = _root(parent, members[start])
        for k in range(start + 1, end):
            root = _root(parent, members[k])
            if root != base:
                low, high = min(base, root), max(base, root)
                parent[high] = low
                sizes[low] += sizes[high]
                base = low
        pins[base] = pin
