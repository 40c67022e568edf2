from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.measures import label_counts, label_distance, share_deviation
from pipelines.splits.stratify import Items, stratified_split

RATIOS = {"train": 0.7, "valid": 0.15, "test": 0.15}
Corpus = Callable[..., Items]

word = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "&", "é", ""])
row = st.tuples(word, word, st.lists(st.sampled_from(["rock", "pop", "sad"]), max_size=4))


def measured(items: Items, splits: list[str], ratios: dict[str, float]) -> tuple[float, float]:
    vocabulary = sorted({label for labels in items.labels for label in labels})
    counts, sizes = label_counts(items.labels, splits, list(ratios), vocabulary)
    return label_distance(counts, sizes), share_deviation(counts, ratios, list(ratios))[0]


@given(st.lists(row, min_size=1, max_size=30), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_no_group_is_torn_and_the_order_of_rows_decides_nothing(
    rows: list[tuple[str, str, list[str]]], seed: int, shuffler: random.Random
) -> None:
    named = [(f"id {number}", *row) for number, row in enumerate(rows)]
    by_order = []
    for _ in range(2):
        items = Items([r[0] for r in named], ([r[1] for r in named], [r[2] for r in named]), [r[3] for r in named])
        splits, notes = stratified_split(items, RATIOS, seed)
        assert set(splits) <= set(RATIOS)
        for column in items.groups:
            for key in column:
                assert len({s for s, k in zip(splits, column, strict=True) if k == key}) == 1
        by_order.append((dict(zip(items.ids, splits, strict=True)), notes))
        shuffler.shuffle(named)
        for r in named:
            shuffler.shuffle(r[3])
    assert by_order[0] == by_order[1]


def test_a_label_that_stands_twice_on_a_row_counts_once(corpus: Corpus) -> None:
    items = corpus(300)
    doubled = Items(items.ids, items.groups, [[*labels, *labels] for labels in items.labels])
    assert stratified_split(doubled, RATIOS)[0] == stratified_split(items, RATIOS)[0]


def test_shares_and_labels_follow_the_ratios(corpus: Corpus) -> None:
    items = corpus(4000)
    splits, notes = stratified_split(items, RATIOS)
    assert notes == []
    for name, ratio in RATIOS.items():
        assert splits.count(name) / len(splits) == pytest.approx(ratio, abs=0.002)
    distance, deviation = measured(items, splits, RATIOS)
    assert distance < 0.003
    assert deviation < 0.005


@pytest.mark.parametrize("seed", [0, 1])
def test_better_than_scikit_multilearn_on_the_same_groups(corpus: Corpus, seed: int) -> None:
    from skmultilearn.model_selection import IterativeStratification

    items = corpus(3000, seed=seed)
    artists = sorted(set(items.groups[0]))
    vocabulary = sorted({label for labels in items.labels for label in labels})
    presence = np.zeros((len(artists), len(vocabulary)), np.int64)
    for artist, labels in zip(items.groups[0], items.labels, strict=True):
        for label in labels:
            presence[artists.index(artist), vocabulary.index(label)] = 1
    np.random.seed(seed)
    folds = IterativeStratification(3, order=1, sample_distribution_per_fold=list(RATIOS.values()))
    theirs = {
        artists[row]: list(RATIOS)[fold]
        for fold, (_, rows) in enumerate(folds.split(np.zeros((len(artists), 1)), presence))
        for row in rows
    }
    start = measured(items, [theirs[artist] for artist in items.groups[0]], RATIOS)
    ours = measured(items, stratified_split(items, RATIOS, seed)[0], RATIOS)
    assert ours[0] < start[0] / 4
    assert ours[1] < start[1] / 4


def test_numpys_own_generator_is_left_as_it_was(corpus: Corpus) -> None:
    np.random.seed(7)
    expected = np.random.random(3).tolist()
    np.random.seed(7)
    first, _ = stratified_split(corpus(200), RATIOS)
    assert np.random.random(3).tolist() == expected
    second, _ = stratified_split(corpus(200), RATIOS)
    assert first == second


def test_seeds_give_other_splits_of_like_quality(corpus: Corpus) -> None:
    items = corpus(2000)
    found = [stratified_split(items, RATIOS, seed)[0] for seed in range(3)]
    assert len({tuple(splits) for splits in found}) == 3
    for splits in found:
        assert measured(items, splits, RATIOS)[0] < 0.005


def test_a_group_larger_than_its_fair_share_stays_whole() -> None:
    artists = ["giant"] * 600 + [f"a{n // 4}" for n in range(400)]
    items = Items(
        [f"t{n:04d}" for n in range(1000)], [artists], [["rock"] if n % 3 else ["pop"] for n in range(1000)]
    )
    splits, _ = stratified_split(items, RATIOS)
    assert set(splits[:600]) == {"train"}
    assert splits.count("train") == pytest.approx(700, abs=8)
    assert splits.count("valid") == pytest.approx(150, abs=8)


def test_without_labels_sizes_follow_the_ratios() -> None:
    items = Items([f"{n}" for n in range(1000)], [[f"a{n // 2}" for n in range(1000)]], [[]] * 1000)
    splits, _ = stratified_split(items, RATIOS)
    assert [splits.count(name) for name in RATIOS] == [700, 150, 150]


def test_a_rare_label_reaches_every_split() -> None:
    artists = [f"a{n // 2}" for n in range(400)]
    labels = [["rock", "theremin"] if n % 40 == 0 else ["rock"] for n in range(400)]
    ratios = {"train": 0.8, "valid": 0.1, "test": 0.1}
    splits, _ = stratified_split(Items([f"{n:03d}" for n in range(400)], [artists], labels), ratios)
    found = [split for split, row in zip(splits, labels, strict=True) if "theremin" in row]
    assert [found.count(name) for name in ratios] == [8, 1, 1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (1, "1 groups for 3 splits: valid, test stay empty"),
        (2, "2 groups for 3 splits: test stays empty"),
    ],
)
def test_too_few_groups_are_one_warning_that_names_what_stays_empty(groups: int, message: str) -> None:
    ids = [f"t{n:02d}" for n in range(12)]
    artists = [f"a{n % groups}" for n in range(12)]
    splits, notes = stratified_split(Items(ids, [artists], [["x"]] * 12), RATIOS)
    assert notes == [message]
    assert [name for name in RATIOS if name not in splits] == message.split(": ")[1].split(" stay")[0].split(", ")


def test_three_groups_are_one_in_each_split() -> None:
    """A split without a row is worth less than one that is too large."""
    splits, notes = stratified_split(Items(["a", "b", "c"], [["x", "y", "z"]], [["r"]] * 3), RATIOS)
    assert sorted(splits) == sorted(RATIOS)
    assert notes == []


def test_nothing_is_split_into_nothing() -> None:
    splits, notes = stratified_split(Items([], [[]], []), RATIOS)
    assert splits == []
    assert len(notes) == 1


def test_one_split_takes_all() -> None:
    assert stratified_split(Items(["a", "b"], [["x", "y"]], [["l"], []]), {"all": 1.0})[0] == ["all", "all"]


def test_a_pinned_group_goes_where_it_must_with_all_that_is_tied_to_it() -> None:
    ids = [f"t{n:02d}" for n in range(20)]
    artists = ["unknown" if n < 3 else f"a{n}" for n in range(20)]
    recordings = ["same" if n in (2, 10) else f"r{n}" for n in range(20)]
    for pinned in RATIOS:
        items = Items(ids, [artists, recordings], [["x"]] * 20, {"unknown": pinned})
        splits, _ = stratified_split(items, RATIOS)
        assert {splits[n] for n in (0, 1, 2, 10)} == {pinned}
