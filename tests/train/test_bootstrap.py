"""Weighted metrics against the metrics of repeated rows; draws of artists, not of tracks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from train.evaluate.bootstrap import (
    artist_weights,
    interval,
    ranking_intervals,
    share_interval,
    tag_draws,
    weighted_areas,
)
from train.evaluate.retrieval import rankings, retrieval_metrics


@given(count=st.integers(2, 12), seed=st.integers(0, 1000))
def test_a_weight_is_as_many_copies(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 5, count) / 4, rng.random(count) < 0.5
    weights = rng.integers(0, 4, (6, count)).astype(float)
    roc, pr = weighted_areas(scores, labels, weights)
    for draw, row in enumerate(weights.astype(int)):
        repeated, held = np.repeat(scores, row), np.repeat(labels, row)
        if len(set(held.tolist())) < 2:
            assert np.isnan(roc[draw]) and np.isnan(pr[draw])
            continue
        assert roc[draw] == pytest.approx(roc_auc_score(held, repeated), abs=1e-12)
        assert pr[draw] == pytest.approx(average_precision_score(held, repeated), abs=1e-12)


def test_all_tracks_of_an_artist_are_drawn_together() -> None:
    artists = ["b", "a", "b", "c", "a", "b"]
    weights = artist_weights(artists, 500)
    assert (weights[:, [0, 2]] == weights[:, [2, 5]]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.15)
    # Where the tracks stand decides nothing.
    np.testing.assert_array_equal(artist_weights(artists[::-1], 500)[:, ::-1], weights)


def test_few_artists_and_rare_tags_bend_no_interval() -> None:
    """Of many test splits from one source, nearly all intervals hold the figure that is expected of such splits."""
    rng = np.random.default_rng(5)
    shares, tags = rng.uniform(0.03, 0.6, 12), range(12)
    found = []
    for _ in range(80):
        by_artist = rng.random((8, 12)) < shares
        artist = np.repeat(np.arange(8), 6)
        labels = by_artist[artist] & (rng.random((48, 12)) < 0.6)
        common = rng.normal(size=(8, 12)) / 2
        scores = 0.8 * labels + rng.normal(size=labels.shape) + common[artist]
        draws = tag_draws([scores], labels, artist.astype(str).tolist())
        figure = np.mean([average_precision_score(labels[:, tag], scores[:, tag]) for tag in draws.tags])
        found.append((figure, *draws.of(tags)["pr_auc"]))
    figures, low, high = np.array(found).T
    assert ((low <= figures) & (figures <= high)).all()
    expected = figures.mean()
    assert np.mean((low <= expected) & (expected <= high)) > 0.87


def test_intervals_hold_the_figure_and_shrink_with_artists() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for artists in (10, 200):
        names = [f"artist {number % artists}" for number in range(400)]
        labels = rng.random((400, 3)) < 0.4
        # What an artist's tracks have in common moves all of them.
        common = {name: rng.normal() for name in names}
        scores = labels + rng.normal(size=(400, 3)) + np.array([common[name] for name in names])[:, None]
        low, high = tag_draws([scores], labels, names).of(range(3))["roc_auc"]
        assert low < roc_auc_score(labels, scores, average="macro") < high
        widths.append(high - low)
    assert widths[1] < widths[0]


@given(count=st.integers(1, 9), seed=st.integers(0, 500))
def test_rankings_under_one_artist_each_hold_the_plain_figures(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, relevant = rng.normal(size=(count, 6)), rng.random((count, 6)) < 0.3
    relevant[:, 0] |= ~relevant.any(1)
    first, precision = rankings(scores, relevant)
    # All queries by one artist: every draw is the whole.
    found = ranking_intervals(first, precision, ["one"] * count, (1, 5, 10))
    plain = retrieval_metrics(scores, relevant)
    for name, (low, high) in found.items():
        assert low == high == pytest.approx(plain[name])


def test_a_median_is_that_of_the_copies() -> None:
    first, artists = np.array([5, 1, 9, 2]), ["a", "b", "c", "d"]
    found = ranking_intervals(first, np.zeros(4), artists, ())["median_rank"]
    draws = artist_weights(artists, 1000).astype(int)
    medians = [np.median(np.repeat(first, row)) for row in draws]
    assert found == pytest.approx(np.quantile(medians, [0.025, 0.975]))


def test_some_tags_have_the_interval_of_their_own_draws() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random((60, 5)) < 0.4
    labels[:, 2] = False  # cannot be measured, and moves nothing
    seeds = [labels + rng.normal(size=(60, 5)) for _ in range(2)]
    artists = [f"artist {number % 15}" for number in range(60)]
    weights = artist_weights(artists, 1000)
    areas = np.stack([[weighted_areas(one[:, tag], labels[:, tag], weights) for tag in (0, 3)] for one in seeds])
    roc, pr = np.nanmean(areas.mean(axis=0), axis=0)
    found = tag_draws(seeds, labels, artists).of([0, 2, 3])
    assert found["roc_auc"] == pytest.approx(interval(roc))
    precisions = [average_precision_score(labels[:, tag], one[:, tag]) for tag in (0, 3) for one in seeds]
    assert found["pr_auc"] == pytest.approx(interval(pr - pr.mean() + np.mean(precisions)))


def test_no_tag_no_interval() -> None:
    assert tag_draws([np.zeros((3, 1))], np.zeros((3, 1), bool), ["a", "b", "c"]).of([0]) == {}


def test_a_tag_of_one_artist_among_many_is_measured_in_most_draws_only() -> None:
    labels = np.zeros((40, 1), bool)
    labels[0] = True
    found = tag_draws([np.arange(40.0)[:, None]], labels, [str(number) for number in range(40)])
    # He is not drawn in (39/40)^40 of the draws.
    assert np.isnan(found.areas[0]).mean() == pytest.approx((39 / 40) ** 40, abs=0.06)
    assert found.of([0])["roc_auc"] == [0.0, 0.0]


def test_the_interval_of_a_share_is_that_of_repeated_tracks() -> None:
    hits, artists = np.array([1.0, 0.0, 0.5, 1.0, 0.0]), ["a", "b", "b", "c", "d"]
    draws = artist_weights(artists, 1000).astype(int)
    means = [np.repeat(hits, row).mean() for row in draws]
    assert share_interval(hits, artists) == pytest.approx(np.quantile(means, [0.025, 0.975]))
