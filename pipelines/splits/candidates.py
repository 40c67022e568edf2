"""Candidates: tracks that may be one recording, for they have one title and last equally long within a second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.splits.labels import Codes
from pipelines.splits.tracks import MICROSECONDS

WITHIN = MICROSECONDS
# Larger than any duration in microseconds, so that titles lie apart on one line.
_APART = 1 << 38


def candidate_links(titles: Codes, moments: Codes) -> tuple[Codes, Codes]:
    """Rows next to each other that are candidates: whoever is a candidate of another is linked to it by a chain.

    Args:
        titles: int64 (rows,), -1 for a row that has none; moments: int64 (rows,), microseconds.

    Returns:
        int64 (links,) twice: the rows of each link, by title, then duration.
    """
    rows = np.flatnonzero(titles >= 0)
    order = rows[np.lexsort((rows, moments[rows], titles[rows]))]
    near = (titles[order[1:]] == titles[order[:-1]]) & (moments[order[1:]] - moments[order[:-1]] <= WITHIN)
    return order[:-1][near], order[1:][near]


def has_candidate(
    titles: Codes, moments: Codes, rows: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which of `rows`, bool (all,), have a candidate in `among`, bool (all,); both may hold the same rows only if
    none is to be compared with itself."""
    known = titles >= 0
    line = titles * _APART + moments
    ends = np.sort(line[among & known])
    asked = np.flatnonzero(rows & known)
    low = np.searchsorted(ends, line[asked] - WITHIN, side="left")
    high = np.searchsorted(ends, line[asked] + WITHIN, side="right")
    found = np.zeros(len(titles), np.bool_)
    found[asked] = high > low
    return found


def crossing(
    titles: Codes, moments: Codes, where: Codes, roles: Sequence[int], fixed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Rows that must leave so that no candidate lies in another split: of two, the one in the smaller role.

    Args:
        where: int64 (rows,), the split of each row, or -1.
        roles: splits from the largest to the smallest.
        fixed: bool (rows,), rows that stay whatever happens.

    Returns:
        bool (rows,).
    """
    leaving = np.zeros(len(titles), np.bool_)
    settled = fixed & (where >= 0)
    for role in roles:
        here = (where == role) & ~fixed
        leaving |= has_candidate(titles, moments, here, settled & (where != role))
        settled |= here & ~leaving
    return leaving
