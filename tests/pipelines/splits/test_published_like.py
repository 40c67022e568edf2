"""Our splits beside one like the published ones, on tracks of MTG-Jamendo's size and shape; and beside its own,
where TRACKLORE_JAMENDO names the folder of an official split's TSV files (data/splits/split-0)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipelines.splits.fairness import can_be_fair, lacking
from pipelines.splits.labels import Codes, labels_of, numbered
from pipelines.splits.measures import counted, label_distance, share_deviation
from pipelines.splits.stratify import FAIR_SHARE, FEW_GROUPS, Items, group_counts, stratified_split

NAMES = ("train", "valid", "test")
PARTS = ("train", "validation", "test")
SUBSETS = ("top50tags", "genre", "instrument", "moodtheme")


@dataclass(frozen=True)
class Corpus:
    """Tracks and a split that others made, int64 (tracks,)."""

    ids: Sequence[str]
    artists: Sequence[str]
    tags: Sequence[Sequence[str]]
    theirs: Codes


@dataclass(frozen=True)
class Quality:
    """How a split follows what others made: label distance, mean deviation of shares, sizes and thin tags."""

    distance: float
    deviation: float
    size_error: float
    unfair: int
    few_artists: int


def shaped_like_mtg_jamendo(seed: int = 3) -> Corpus:
    """55,000 tracks with 50 tags by 3,500 artists of unequal size, each with a taste. The other split fills up with
    whole artists, as they are drawn."""
    rng = np.random.default_rng(seed)
    tracks, artists, tags = 55_000, 3_500, 50
    weights = rng.lognormal(sigma=1.1, size=artists)
    of_track = np.append(np.arange(artists), rng.choice(artists, tracks - artists, p=weights / weights.sum()))
    popularity = np.cumsum(1 / (np.arange(tags) + 3.0))
    tastes = np.searchsorted(popularity / popularity[-1], rng.random((artists, 6)))
    counts = 1 + rng.poisson(1.6, tracks)
    drawn = [
        sorted({f"tag {tastes[artist, int(rng.random() ** 2 * 6)]:02d}" for _ in range(count)})
        for artist, count in zip(of_track.tolist(), counts.tolist(), strict=True)
    ]
    sizes = np.bincount(of_track, minlength=artists)
    order = rng.permutation(artists)
    filled = sizes[order].cumsum() / tracks
    split = np.empty(artists, np.int64)
    split[order] = np.searchsorted([0.59, 0.79], filled)
    return Corpus(
        [f"track_{n:07d}" for n in range(tracks)],
        [f"artist_{n:06d}" for n in of_track.tolist()],
        drawn,
        split[of_track],
    )


def published(folder: Path, subset: str) -> Corpus:
    """One subset of MTG-Jamendo in its official split."""
    rows: list[list[str]] = []
    splits: list[int] = []
    for number, part in enumerate(PARTS):
        lines = (folder / f"autotagging_{subset}-{part}.tsv").read_text("utf-8").splitlines()[1:]
        rows += [line.split("\t") for line in lines]
        splits += [number] * len(lines)
    return Corpus([r[0] for r in rows], [r[1] for r in rows], [r[5:] for r in rows], np.array(splits))


def ratios_of(corpus: Corpus) -> dict[str, float]:
    sizes = np.bincount(corpus.theirs, minlength=3)
    return dict(zip(NAMES, (sizes / sizes.sum()).tolist(), strict=True))


def quality(corpus: Corpus, splits: Codes) -> Quality:
    ratios = ratios_of(corpus)
    shares = np.array(list(ratios.values()))
    labels = labels_of(corpus.tags)
    counts, sizes = counted(labels, splits, 3)
    artists = numbered(corpus.artists)
    owner, columns, values, _ = group_counts(artists, labels)
    unfair = 0
    for label in np.flatnonzero(lacking(counts, shares, FAIR_SHARE).any(axis=0)).tolist():
        mine = values[columns == label].astype(np.int64)
        unfair += int(can_be_fair(mine, np.full(len(mine), -1), shares, FAIR_SHARE) is not False)
    split_of = np.empty(int(artists.max()) + 1, np.int64)
    split_of[artists] = splits
    few = 0
    for label in range(len(labels.names)):
        for split in (1, 2):
            held = values[(columns == label) & (split_of[owner] == split)]
            few += int(len(held) < FEW_GROUPS or held.max() * 2 >= held.sum())
    return Quality(
        label_distance(counts, sizes),
        share_deviation(counts, ratios, NAMES)[0],
        float(np.abs(sizes / sizes.sum() - shares).max()),
        unfair,
        few,
    )


def ours(corpus: Corpus, seed: int = 0, effort: int = 1) -> Codes:
    splits, _ = stratified_split(Items(corpus.ids, [corpus.artists], corpus.tags), ratios_of(corpus), seed, effort)
    return np.array([NAMES.index(split) for split in splits])


def assert_better(corpus: Corpus, splits: Codes, distance: float, deviation: float) -> None:
    """Whole artists, and so many times nearer than the other split."""
    pairs = set(zip(corpus.artists, splits.tolist(), strict=True))
    assert len(pairs) == len(set(corpus.artists))
    found, theirs = quality(corpus, splits), quality(corpus, corpus.theirs)
    assert found.distance <= theirs.distance / distance
    assert found.deviation <= theirs.deviation / deviation
    assert found.size_error <= 0.002
    assert found.unfair == 0
    assert found.few_artists <= theirs.few_artists


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return shaped_like_mtg_jamendo()


def test_seeds_give_different_splits_of_equal_quality_far_better_than_whole_artists_drawn(corpus: Corpus) -> None:
    first, second = ours(corpus), ours(corpus, seed=1)
    for splits in (first, second):
        assert_better(corpus, splits, 12, 10)
    assert 0.3 < (first == second).mean() < 0.9
    one, other = quality(corpus, first), quality(corpus, second)
    assert one.distance == pytest.approx(other.distance, rel=0.5)
    assert one.deviation == pytest.approx(other.deviation, rel=0.5)


def test_far_better_than_iterative_stratification_over_artists(corpus: Corpus) -> None:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    labels, artists = labels_of(corpus.tags), numbered(corpus.artists)
    presence = np.zeros((int(artists.max()) + 1, len(labels.names)), np.int64)
    presence[artists[labels.rows], labels.codes] = 1
    folds = MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
    fold_of = np.empty(len(presence), np.int64)
    for fold, (_, rows) in enumerate(folds.split(np.zeros(len(presence)), presence)):
        fold_of[rows] = fold
    theirs = Corpus(corpus.ids, corpus.artists, corpus.tags, np.array([0, 0, 0, 1, 2])[fold_of][artists])
    assert_better(theirs, ours(theirs), 10, 10)


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_official_split_of_mtg_jamendo(subset: str) -> None:
    named = os.environ.get("TRACKLORE_JAMENDO")
    if not named:
        pytest.skip("TRACKLORE_JAMENDO names no folder of MTG-Jamendo's TSV files")
    if not (Path(named) / f"autotagging_{subset}-train.tsv").is_file():
        pytest.skip(f"{named} has no autotagging_{subset}-train.tsv")
    real = published(Path(named), subset)
    splits = ours(real)
    assert_better(real, splits, 12, 10)
    assert quality(real, splits).few_artists == 0
    assert quality(real, ours(real, effort=10)).distance <= quality(real, real.theirs).distance / 25
