"""Whether a tag could have had its fair share in every split, had it been the only one: exact, for rare tags."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.splits.labels import Codes
from pipelines.splits.solver import Floats

_MOST_CELLS = 50_000_000


def lacking(counts: npt.NDArray[np.int64], shares: Floats, part: float) -> npt.NDArray[np.bool_]:
    """Where a label has less than `part` of its fair share.

    Args:
        counts: int64 (splits, labels); shares: float64 (splits,), the splits' ratios.

    Returns:
        bool (splits, labels).
    """
    return counts < _needed(counts.sum(axis=0), shares, part)


def can_be_fair(counts: Codes, pins: Codes, shares: Floats, part: float) -> bool | None:
    """Whether groups can be placed so that each split has at least `part` of its fair share of their sum.

    A table over what all splits but the largest have, up to what they need, holds the most that the largest can
    have beside; each group tries every split.

    Args:
        counts: int64 (groups,), rows of each group; pins: int64 (groups,), its split or -1.

    Returns:
        None where the table would be too large to fill.
    """
    needs = _needed(np.array([counts.sum()]), shares, part)[:, 0]
    largest = int(np.argmax(needs))
    others = [split for split in range(len(shares)) if split != largest]
    shape = tuple(int(needs[split]) + 1 for split in others)
    if np.prod([float(side) for side in shape]) * len(counts) > _MOST_CELLS:
        return None
    most = np.full(shape, -1, np.int64)
    most[(0,) * len(shape)] = 0
    for count, pin in zip(counts.tolist(), pins.tolist(), strict=True):
        after = np.where(most >= 0, most + count, -1) if pin in (-1, largest) else np.full(shape, -1, np.int64)
        for axis, split in enumerate(others):
            if pin in (-1, split):
                np.maximum(after, _shifted(most, axis, count), out=after)
        most = after
    return bool(most[(-1,) * len(shape)] >= needs[largest])


def _needed(totals: npt.NDArray[np.int64], shares: Floats, part: float) -> npt.NDArray[np.int64]:
    return np.ceil(part * np.outer(shares, totals) - 1e-9).astype(np.int64)


def _shifted(table: npt.NDArray[np.int64], axis: int, count: int) -> npt.NDArray[np.int64]:
    """The table after `count` more along an axis; what would pass its end stays at it."""
    length = table.shape[axis]
    moved = np.full_like(table, -1)
    to, source = np.moveaxis(moved, axis, 0), np.moveaxis(table, axis, 0)
    step = min(count, length - 1)
    to[step:] = source[: length - step]
    to[-1] = source[length - 1 - step :].max(axis=0)
    return moved
