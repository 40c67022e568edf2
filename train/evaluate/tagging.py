"""Zero-shot tagging: how well the distance to a tag's text tells the tracks that have the tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]


def roc_auc(scores: Floats, labels: Flags) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Args:
        scores, labels: (N,), with at least one positive and one negative.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def pr_auc(scores: Floats, labels: Flags) -> float:
    """Average precision: precision at each distinct score, weighted by the recall gained there.

    Args:
        scores, labels: (N,), with at least one positive.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(labels[order])
    last_of_tie = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]
    found = hits[last_of_tie]
    precision = found / (last_of_tie + 1)
    return float((np.diff(np.r_[0, found]) * precision).sum() / hits[-1])


def tagging_metrics(scores: Floats, labels: Flags, categories: Sequence[str]) -> dict[str, Any]:
    """Macro averages over tags, in all and by category.

    Tags that no track or every track has are left out of the averages, and counted.

    Args:
        scores: (tracks, tags).
        labels: bool (tracks, tags).
        categories: of each tag.

    Returns:
        `roc_auc` and `pr_auc` (null when no tag is left), `pr_auc_chance` (the mean share of positives, which a
        random score earns), `tags`, `tags_without_positives`, `tags_without_negatives`, `tracks`, `by_category`.
    """
    positives = labels.sum(axis=0)
    usable = np.flatnonzero((positives > 0) & (positives < len(labels)))
    by_tag = {
        int(tag): (roc_auc(scores[:, tag], labels[:, tag]), pr_auc(scores[:, tag], labels[:, tag]))
        for tag in usable
    }

    def averaged(tags: Sequence[int]) -> dict[str, Any]:
        return {
            "roc_auc": float(np.mean([by_tag[tag][0] for tag in tags])) if tags else None,
            "pr_auc": float(np.mean([by_tag[tag][1] for tag in tags])) if tags else None,
            "tags": len(tags),
        }

    grouped: dict[str, list[int]] = {}
    for tag in by_tag:
        grouped.setdefault(categories[tag], []).append(tag)
    return {
        **averaged(list(by_tag)),
        "pr_auc_chance": float(positives[usable].mean() / len(labels)) if len(usable) else None,
        "tags_without_positives": int((positives == 0).sum()),
        "tags_without_negatives": int((positives == len(labels)).sum()) if len(labels) else 0,
        "tracks": len(labels),
        "by_category": {name: averaged(tags) for name, tags in sorted(grouped.items())},
    }
