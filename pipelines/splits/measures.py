"""How well splits follow the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt


def label_counts(
    labels: Sequence[Sequence[str]], splits: Sequence[str], names: Sequence[str], vocabulary: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count rows by split and label.

    Returns:
        int64 (splits, labels), and int64 (splits,) rows.
    """
    counts = np.zeros((len(names), len(vocabulary)), np.int64)
    sizes = np.zeros(len(names), np.int64)
    row_of = {name: i for i, name in enumerate(names)}
    column_of = {label: i for i, label in enumerate(vocabulary)}
    for row, split in zip(labels, splits, strict=True):
        place = row_of.get(split)
        if place is None:
            continue
        sizes[place] += 1
        for label in set(row):
            if label in column_of:
                counts[place, column_of[label]] += 1
    return counts, sizes


def label_distance(counts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> float:
    """Label distance (Sechidis et al. 2011): the mean over splits and labels of |odds in the split − odds in
    the whole|. Empty splits are left out; labels on every row have no odds and are left out.

    Args:
        counts: int64 (splits, labels); sizes: int64 (splits,).
    """
    used = sizes > 0
    counts, sizes = counts[used], sizes[used]
    total, rows = counts.sum(axis=0), int(sizes.sum())
    some = (total > 0) & (total < rows)
    if not some.any() or not len(sizes):
        return 0.0
    whole = total[some] / (rows - total[some])
    part = counts[:, some] / np.maximum(sizes[:, None] - counts[:, some], 0.5)
    return float(np.abs(part - whole).mean())


def share_deviation(
    counts: npt.NDArray[np.int64], ratios: Mapping[str, float], names: Sequence[str]
) -> tuple[float, float]:
    """How far the share of a label in a split is from the split's ratio: (mean, largest) over both, in 0..1."""
    total = counts.sum(axis=0)
    some = total > 0
    if not some.any():
        return 0.0, 0.0
    wanted = np.array([ratios[name] for name in names])
    deviation = np.abs(counts[:, some] / total[some] - wanted[:, None])
    return float(deviation.mean()), float(deviation.max())
