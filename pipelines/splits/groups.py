"""What may not be torn apart: tracks that share an artist or a recording are one group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def joined_groups(*columns: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number the connected components of rows that share a value in any of the columns.

    Args:
        columns: aligned keys, (rows,) each.

    Returns:
        int64 (rows,): components are numbered by their first row.
    """
    rows = len(columns[0])
    edges_from, edges_to, nodes = [], [], rows
    for column in columns:
        _, codes = np.unique(np.asarray(column, dtype=object).astype(str), return_inverse=True)
        edges_from.append(np.arange(rows))
        edges_to.append(codes + nodes)
        nodes += int(codes.max(initial=-1)) + 1
    start, end = np.concatenate(edges_from), np.concatenate(edges_to)
    graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(nodes, nodes))
    labels = connected_components(graph, directed=False)[1][:rows]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]
