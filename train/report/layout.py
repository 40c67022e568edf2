"""Points of a joint space in the plane (TTMR A.6, Figure 3)."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
LEAST = 15
_NEIGHBOURS = 15


def plane(vectors: npt.NDArray[np.float32]) -> Points:
    """UMAP of all points together by their cosines, (N, 2); the same every time on one machine.

    Args:
        vectors: (N, D), at least `LEAST`.

    Raises:
        ImportError: umap-learn is not installed.
    """
    with warnings.catch_warnings():
        # It warns that a seed means one thread, and that a package is missing of which nothing is used here.
        warnings.simplefilter("ignore")
        from umap import UMAP

        made = UMAP(n_neighbors=min(_NEIGHBOURS, len(vectors) - 1), metric="cosine", random_state=0, n_jobs=1)
        points: Points = np.asarray(made.fit_transform(vectors), np.float64)
    return points
