"""Metrics against scikit-learn and against loops."""

from __future__ import annotations

from itertools import permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from train.evaluate.retrieval import chance, pairs_metrics, retrieval_metrics
from train.evaluate.tagging import Vocabulary, pr_auc, roc_auc, tag_figures, tagging_metrics


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


def vocabulary(categories: str, **groups: list[int]) -> Vocabulary:
    """Tags named t0, t1, …, a letter of `categories` each."""
    return Vocabulary(tuple(f"t{n}" for n in range(len(categories))), tuple(categories), groups)


def test_tags_without_positives_or_negatives_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(30, 6)), rng.random((30, 6)) < 0.4
    labels[:, 1], labels[:, 4] = False, True
    kept, artists = [0, 2, 3, 5], [f"artist {n % 12}" for n in range(30)]
    found = tag_figures([scores], labels, vocabulary("aabbba", some=[1, 2, 5], none=[1]), artists)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels[:, kept], scores[:, kept], average="macro"))
    assert found["pr_auc"] == pytest.approx(average_precision_score(labels[:, kept], scores[:, kept]))
    assert (found["tags"], found["tags_without_positives"], found["tags_without_negatives"]) == (4, 1, 1)
    assert found["pr_auc_chance"] == pytest.approx(labels[:, kept].mean())
    parts = {"a": [0, 5], "b": [2, 3]}
    for name, part in (*found["by_category"].items(), ("some", found["by_group"]["some"])):
        columns = parts.get(name, [2, 5])
        assert part["tags"] == 2
        assert part["roc_auc"] == pytest.approx(roc_auc_score(labels[:, columns], scores[:, columns]))
        assert part["pr_auc"] == pytest.approx(average_precision_score(labels[:, columns], scores[:, columns]))
        assert part["pr_auc_chance"] == pytest.approx(labels[:, columns].mean())
        assert part["intervals"]["roc_auc"][0] < part["roc_auc"] < part["intervals"]["roc_auc"][1]
    assert set(found["by_category"]) == {"a", "b"}
    assert found["by_group"]["none"] == {
        "roc_auc": None,
        "pr_auc": None,
        "pr_auc_chance": None,
        "tags": 0,
        "intervals": {},
    }
    quick = tagging_metrics(scores, labels, list("aabbba"))
    assert {key: found[key] for key in quick if key != "by_category"} | {"by_category": {}} == {
        **quick,
        "by_category": {},
    }
    assert quick["by_category"]["a"].items() <= found["by_category"]["a"].items()
    by_tag = {row["tag"]: row for row in found["by_tag"]}
    assert set(by_tag) == {"t0", "t2", "t3", "t5"} and by_tag["t3"]["tracks"] == labels[:, 3].sum()
    assert by_tag["t3"]["pr_auc"] == pytest.approx(average_precision_score(labels[:, 3], scores[:, 3]))
    assert "accuracy" not in found


def test_several_seeds_are_averaged() -> None:
    rng = np.random.default_rng(2)
    labels = rng.random((40, 3)) < 0.5
    seeds = [rng.normal(size=(40, 3)) + labels for _ in range(3)]
    found = tag_figures(seeds, labels, vocabulary("xxx"), ["one"] * 40)
    areas = [roc_auc_score(labels, one) for one in seeds]
    assert found["roc_auc"] == pytest.approx(np.mean(areas))
    # One artist alone: every draw is the whole.
    assert found["intervals"]["roc_auc"] == pytest.approx([found["roc_auc"]] * 2)


def test_one_tag_a_track_is_a_task_of_classes() -> None:
    labels = np.eye(4, dtype=bool)[[0, 1, 2, 3, 0]]
    scores = np.array([[3, 1, 1, 1], [2, 2, 0, 0], [0, 0, 9, 1], [9, 0, 0, 8], [1, 0, 0, 0]], float)
    found = tag_figures([scores], labels, vocabulary("gggg"), list("abcde"))
    # The second track's own tag ties with another's, and the fourth's loses.
    assert found["accuracy"] == accuracy_score([0, 1, 2, 3, 0], [0, 0, 2, 0, 0]) == 0.6
    assert found["accuracy_chance"] == 0.25
    assert found["accuracy_interval"][0] < 0.6 < found["accuracy_interval"][1]


def test_no_usable_tag_gives_no_figure() -> None:
    found = tag_figures([np.zeros((3, 1))], np.zeros((3, 1), bool), vocabulary("a"), list("xyz"))
    assert found["roc_auc"] is None and found["tags"] == 0 and found["by_tag"] == []


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


@given(count=st.integers(2, 10), seed=st.integers(0, 500))
def test_precision_of_ten_candidates_is_scikit_learns(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, relevant = rng.normal(size=(6, count)), rng.random((6, count)) < 0.3
    relevant[:, 0] |= ~relevant.any(axis=1)
    found = retrieval_metrics(scores, relevant)["map_at_10"]
    assert found == pytest.approx(label_ranking_average_precision_score(relevant, scores))


@given(count=st.integers(2, 14), names=st.integers(1, 14), seed=st.integers(0, 500))
def test_pairs_under_one_caption_by_every_rule(count: int, names: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    captions = [f"caption {n}" for n in rng.integers(0, names, count)]
    scores = rng.integers(0, 5, (count, count)).astype(float)
    scores = np.array([scores[captions.index(caption)] for caption in captions])  # one query, one ranking
    found = pairs_metrics(scores, captions, [f"artist {n}" for n in range(count)])
    first = sorted({caption: place for place, caption in reversed(list(enumerate(captions)))}.values())
    rules = {
        "strict": (scores, np.eye(count, dtype=bool)),
        "with_duplicates": (scores, np.array([[a == b for a in captions] for b in captions])),
        None: (scores[np.ix_(first, first)], np.eye(len(first), dtype=bool)),
    }
    for rule, (of_rule, relevant) in rules.items():
        figures = found[rule] if rule else found
        ranks, precisions = by_loops(of_rule, relevant)
        assert figures["pairs"] == len(ranks)
        assert figures["median_rank"] == np.median(ranks) and figures["map_at_10"] == pytest.approx(
            np.mean(precisions)
        )
        for k in (1, 5, 10):
            assert figures[f"recall_at_{k}"] == pytest.approx(np.mean([rank <= k for rank in ranks]))
            # Chance by the same rule: of all candidates, the right ones fill a place among the first k.
            misses = [
                comb(len(row) - sum(row), k) / comb(len(row), k) if k <= len(row) else 0.0
                for row in relevant.tolist()
            ]
            assert figures[f"chance_at_{k}"] == pytest.approx(1 - np.mean(misses))
