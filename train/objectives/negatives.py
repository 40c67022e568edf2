"""Which negative a triplet gets: sampling weighted by distance (Wu et al. 2017, section 4).

On a sphere of many dimensions nearly all pairs are about √2 apart. Drawing negatives in inverse proportion to how
often their distance occurs spreads them over all distances, where uniform draws give only easy ones.
"""

from __future__ import annotations

import torch
from torch import Tensor


def distance_weights(
    anchors: Tensor, candidates: Tensor, allowed: Tensor, *, nearest: float = 0.5, farthest: float = 1.4
) -> Tensor:
    """How likely each candidate is to be an anchor's negative, float (N, M), rows that sum to 1.

    The weight is the inverse of the density of distances between random points of the unit sphere of D dimensions,
    d^(D-2) · (1 - d²/4)^((D-3)/2). A row without an allowed candidate within `farthest` is uniform over what is
    allowed, and all zero where nothing is.

    Args:
        anchors, candidates: unit embeddings, (N, D) and (M, D); no gradient is taken.
        allowed: bool (N, M).
        nearest: distances below count as this one, since the weight of equals is without bound.
        farthest: what is farther away is no challenge and not drawn.
    """
    dimensions = anchors.shape[1]
    with torch.no_grad():
        distance = (2 - 2 * anchors.double() @ candidates.double().T).clamp_min(0).sqrt().clamp_min(nearest)
        near = allowed & (distance < farthest)
        log_weight = -(dimensions - 2) * distance.log() - (dimensions - 3) / 2 * (1 - distance**2 / 4).log()
        log_weight = log_weight.masked_fill(~near, -torch.inf)
        # Row by row: one very near pair of another row would leave this one nothing but zeros.
        highest = log_weight.amax(1, keepdim=True)
        weight = (log_weight - highest.where(highest.isfinite(), 0.0)).exp()
        weight = weight.where(near.any(1, keepdim=True), allowed.double())
        return weight / weight.sum(1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)


def drawn(weights: Tensor, noise: Tensor) -> Tensor:
    """One column a row by its weights, int64 (N,): the first whose cumulative weight exceeds the row's noise.

    Args:
        weights: (N, M), rows that sum to 1 (or 0, which draws anything).
        noise: uniform in [0, 1), (N,).
    """
    cumulative = weights.cumsum(1)
    # What is not to be drawn is never the first to exceed, whatever rounding makes of the last sum.
    reached = cumulative > noise.to(cumulative.dtype)[:, None] * cumulative[:, -1:]
    return (reached & (weights > 0)).to(torch.int8).argmax(1)
