"""Answering sentences by annotated tags: thresholds against a brute force, overlaps against sets of words."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from train.evaluate.annotated import best_f1_thresholds, overlap_scores


@given(count=st.integers(1, 12), seed=st.integers(0, 500))
def test_no_threshold_has_a_higher_f1(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (count, 3)) / 4  # with ties
    labels = rng.random((count, 3)) < 0.4
    for tag, threshold in enumerate(best_f1_thresholds(scores, labels)):
        if not labels[:, tag].any():
            assert threshold == np.inf
            continue
        reached = f1_score(labels[:, tag], scores[:, tag] >= threshold)
        best = max(f1_score(labels[:, tag], scores[:, tag] >= other) for other in scores[:, tag])
        assert reached == best


def test_a_track_answers_by_the_words_of_its_tags() -> None:
    tags = ["hip hop", "slow piano", "rock"]
    present = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], np.bool_)
    found = overlap_scores(["Slow, hip piano", "rock", "nothing known"], present, tags, ["a", "b", "c"])
    np.testing.assert_array_equal(np.floor(found), [[1, 3, 0], [0, 0, 0], [0, 0, 0]])
    # Equal counts stand in one random order, which does not follow from where the tracks stand.
    again = overlap_scores(["rock"], present[::-1], tags, ["c", "b", "a"])
    np.testing.assert_array_equal(again[0, ::-1], found[1])
    assert len(set(found[1])) == 3
