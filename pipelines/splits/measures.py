"""How well splits follow the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.splits.labels import Codes, Labels, as_array, labels_of


def label_counts(
    labels: Any, splits: Any, names: Sequence[str], vocabulary: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count rows by split and label.

    Args:
        labels: a sequence of sequences of strings, or an Arrow column of lists.
        splits: a split's name for each row; rows of other splits than `names` are left out.

    Returns:
        int64 (splits, labels), and int64 (splits,) rows.
    """
    places = pc.index_in(as_array(splits, pa.string()), value_set=pa.array(names, pa.string()))
    codes = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return counted(labels_of(labels, vocabulary), codes, len(names))


def counted(labels: Labels, splits: Codes, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count rows by split, given as int64 (rows,) with -1 for none, and label.

    Returns:
        int64 (splits, labels), and int64 (splits,) rows.
    """
    width = len(labels.names)
    where = splits[labels.rows]
    kept = where >= 0
    counts = np.bincount(where[kept] * width + labels.codes[kept], minlength=count * width)
    sizes = np.bincount(splits[splits >= 0], minlength=count)
    return counts.reshape(count, width).astype(np.int64), sizes.astype(np.int64)


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
