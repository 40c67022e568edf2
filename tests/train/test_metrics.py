"""Metrics against scikit-learn and against loops."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from train.evaluate.retrieval import chance, pairs_metrics, retrieval_metrics
from train.evaluate.tagging import pr_auc, roc_auc, tagging_metrics


@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_areas_are_scikit_learns_ties_included(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], float)
    labels = np.array([label for _, label in rows])
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert pr_auc(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_tags_without_positives_or_negatives_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(30, 6)), rng.random((30, 6)) < 0.4
    labels[:, 1], labels[:, 4] = False, True
    kept = [0, 2, 3, 5]
    found = tagging_metrics(scores, labels, ["a", "a", "b", "b", "b", "a"])
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels[:, kept], scores[:, kept], average="macro"))
    assert found["pr_auc"] == pytest.approx(average_precision_score(labels[:, kept], scores[:, kept]))
    assert (found["tags"], found["tags_without_positives"], found["tags_without_negatives"]) == (4, 1, 1)
    assert found["pr_auc_chance"] == pytest.approx(labels[:, kept].mean())
    assert found["by_category"]["b"]["tags"] == 2
    assert found["by_category"]["b"]["roc_auc"] == pytest.approx(
        roc_auc_score(labels[:, [2, 3]], scores[:, [2, 3]])
    )


def test_no_usable_tag_gives_no_figure() -> None:
    found = tagging_metrics(np.zeros((3, 1)), np.zeros((3, 1), bool), ["a"])
    assert found["roc_auc"] is None and found["tags"] == 0


def by_loops(scores: np.ndarray, relevant: np.ndarray) -> tuple[list[int], list[float]]:
    """First ranks and average precisions, one query at a time, with ties against the model."""
    ranks, precisions = [], []
    for row, right in zip(scores.tolist(), relevant.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda c: (-row[c], right[c]))
        places = [place for place, c in enumerate(order, 1) if right[c]]
        ranks.append(places[0])
        found = [(n + 1) / place for n, place in enumerate(places) if place <= 10]
        precisions.append(sum(found) / min(10, len(places)))
    return ranks, precisions


@given(count=st.integers(1, 25), seed=st.integers(0, 500), levels=st.integers(1, 6))
def test_retrieval_is_its_definition(count: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (count, count)).astype(float)
    relevant = (rng.random((count, count)) < 0.1) | np.eye(count, dtype=bool)
    found = retrieval_metrics(scores, relevant)
    ranks, precisions = by_loops(scores, relevant)
    for k in (1, 5, 10):
        assert found[f"recall_at_{k}"] == pytest.approx(np.mean([rank <= k for rank in ranks]))
    assert found["map_at_10"] == pytest.approx(np.mean(precisions))
    assert found["median_rank"] == np.median(ranks)


def test_a_model_that_says_nothing_earns_nothing() -> None:
    found = retrieval_metrics(np.zeros((50, 50)), np.eye(50, dtype=bool))
    assert found["recall_at_10"] == 0 and found["median_rank"] == 50


def test_chance_is_the_mean_over_all_rankings() -> None:
    for relevant, cutoff in ((1, 2), (2, 2), (3, 1), (2, 5), (5, 3)):
        hits = [any(c < relevant for c in ranking[:cutoff]) for ranking in permutations(range(5))]
        assert chance(np.array([relevant]), 5, cutoff) == pytest.approx(np.mean(hits))
    assert chance(np.ones(144, int), 144, 10) == pytest.approx(10 / 144)


def test_repeated_captions_leave_the_main_figure_and_count_as_hits_beside_it() -> None:
    audio = np.eye(4)
    text = np.eye(4)[[0, 1, 2, 1]]  # pair 3 asks as pair 1 does, and pair 1's track is the nearer
    found = pairs_metrics(text @ audio.T, ["a", "b", "c", "b"], ["w", "x", "y", "z"])
    assert found["pairs"] == 3 and found["repeated_captions"] == 1
    assert found["recall_at_1"] == 1.0 and found["chance_at_1"] == pytest.approx(1 / 3)
    assert found["with_duplicates"]["pairs"] == 4 and found["with_duplicates"]["recall_at_1"] == 1.0
    assert found["strict"]["recall_at_1"] == 0.75
    assert found["with_duplicates"]["chance_at_1"] > found["strict"]["chance_at_1"]
