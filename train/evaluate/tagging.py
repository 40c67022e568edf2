"""Tagging: how well scores tell the tracks that have a tag from those that have not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from train.evaluate.bootstrap import share_interval, tag_draws

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


@dataclass(frozen=True)
class Vocabulary:
    """The tags that are measured, a column each.

    Attributes:
        tags, categories: of each column.
        groups: columns that are averaged by themselves as well, by the group's name.
    """

    tags: tuple[str, ...]
    categories: tuple[str, ...]
    groups: Mapping[str, Collection[int]] = field(default_factory=dict)


def tagging_metrics(scores: Floats, labels: Flags, categories: Sequence[str]) -> dict[str, Any]:
    """`tag_figures` without intervals, groups and single tags: quick, for choosing.

    Args:
        scores, labels: (tracks, tags).
        categories: of each tag.
    """
    positives = labels.sum(axis=0)
    areas = {int(tag): _areas([scores], labels, int(tag)) for tag in measurable(labels)}
    return {**_averages(areas, labels, categories, lambda _: {}), **_left_out(positives, labels)}


def tag_figures(
    scores: Sequence[Floats], labels: Flags, vocabulary: Vocabulary, artists: Sequence[str]
) -> dict[str, Any]:
    """Macro averages over tags, in all, by category and by group, and tag by tag; intervals over artists.

    Tags that no track or every track has are left out of the averages, and counted.

    Args:
        scores: (tracks, tags), of one model or of one a seed; figures are the means over seeds.
        labels: bool (tracks, tags).
        vocabulary: of the columns.
        artists: of each track.

    Returns:
        `roc_auc` and `pr_auc` (null when no tag is left), `pr_auc_chance` (the mean share of positives, which a
        random score earns), `tags`, `intervals`; `tags_without_positives`, `tags_without_negatives`, `tracks`;
        `by_category` and `by_group` with the same figures by name; `by_tag`, rows of `tag`, `category`, `tracks`
        with it, areas and intervals, in the order of the columns; `accuracy`, where every track has one tag and
        so a task of classes: the share of tracks whose own tag scores above all others.
    """
    positives = labels.sum(axis=0)
    draws = tag_draws(scores, labels, artists)
    areas = {int(tag): _areas(scores, labels, int(tag)) for tag in draws.tags}

    def intervals(tags: Collection[int]) -> dict[str, Any]:
        return {"intervals": draws.of(tags)}

    return {
        **_averages(areas, labels, vocabulary.categories, intervals),
        **_left_out(positives, labels),
        "by_group": {
            name: _averaged(areas, labels, columns, intervals)
            for name, columns in vocabulary.groups.items()
            if columns
        },
        "by_tag": [
            {
                "tag": vocabulary.tags[tag],
                "category": vocabulary.categories[tag],
                "tracks": int(positives[tag]),
                "roc_auc": roc,
                "pr_auc": pr,
                **intervals([tag]),
            }
            for tag, (roc, pr) in areas.items()
        ],
        **_accuracy(scores, labels, artists),
    }


_Areas = Mapping[int, tuple[float, float]]
_More = Callable[[Collection[int]], dict[str, Any]]


def _areas(scores: Sequence[Floats], labels: Flags, tag: int) -> tuple[float, float]:
    """Both areas of a tag, the means over seeds."""
    held = labels[:, tag]
    roc = float(np.mean([roc_auc(one[:, tag], held) for one in scores]))
    return roc, float(np.mean([pr_auc(one[:, tag], held) for one in scores]))


def _averages(areas: _Areas, labels: Flags, categories: Sequence[str], more: _More) -> dict[str, Any]:
    by_category: dict[str, list[int]] = {}
    for tag in areas:
        by_category.setdefault(categories[tag], []).append(tag)
    return {
        **_averaged(areas, labels, list(areas), more),
        "by_category": {name: _averaged(areas, labels, tags, more) for name, tags in sorted(by_category.items())},
    }


def _averaged(areas: _Areas, labels: Flags, columns: Collection[int], more: _More) -> dict[str, Any]:
    tags = [tag for tag in columns if tag in areas]
    roc, pr = np.mean([areas[tag] for tag in tags], axis=0).tolist() if tags else (None, None)
    return {
        "roc_auc": roc,
        "pr_auc": pr,
        "pr_auc_chance": float(labels[:, tags].mean()) if tags else None,
        "tags": len(tags),
        **more(tags),
    }


def _left_out(positives: npt.NDArray[Any], labels: Flags) -> dict[str, int]:
    return {
        "tags_without_positives": int((positives == 0).sum()),
        "tags_without_negatives": int((positives == len(labels)).sum()) if len(labels) else 0,
        "tracks": len(labels),
    }


def measurable(labels: Flags) -> npt.NDArray[np.intp]:
    """The tags, by column, that some tracks have and some have not."""
    positives = labels.sum(axis=0)
    return np.flatnonzero((positives > 0) & (positives < len(labels)))


def macro_areas(scores: Floats, labels: Flags) -> dict[str, float]:
    """The means of `roc_auc` and `pr_auc` over the measurable tags, of which there must be one."""
    pairs = [(scores[:, tag], labels[:, tag]) for tag in measurable(labels)]
    return {
        "roc_auc": float(np.mean([roc_auc(*pair) for pair in pairs])),
        "pr_auc": float(np.mean([pr_auc(*pair) for pair in pairs])),
    }


def _accuracy(scores: Sequence[Floats], labels: Flags, artists: Sequence[str]) -> dict[str, Any]:
    """Of tracks of one tag each; a tie with another tag counts against the model."""
    if labels.shape[1] < 2 or not len(labels) or not (labels.sum(axis=1) == 1).all():
        return {}
    rights = [one[labels] > np.where(labels, -np.inf, one).max(axis=1) for one in scores]
    hits = np.mean(rights, axis=0)
    return {
        "accuracy": float(hits.mean()),
        "accuracy_chance": 1 / labels.shape[1],
        "accuracy_interval": share_interval(hits, artists),
    }
