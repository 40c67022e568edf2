from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.pairs import draw_pairs, pairs_of_schemes
from schemas.manifest import PairsSection
from schemas.tables import LABELS, PUBLISHED_PAIRS, SPLITS

tracks = st.dictionaries(st.text(max_size=4), st.sampled_from(["calm", "loud", "sad", "fast"]), max_size=20)


@given(tracks, st.integers(1, 12), st.integers(0, 3), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_captions_are_distinct_first_and_the_order_decides_nothing(
    found: dict[str, str], count: int, seed: int, shuffler: random.Random
) -> None:
    listed = list(found.items())
    drawn = draw_pairs(listed, count, seed)
    assert len(drawn) == min(count, len(found))
    assert set(drawn) <= set(listed)
    assert len(set(drawn)) == len(drawn)
    distinct = len(set(found.values()))
    first = [caption for _, caption in drawn[: min(count, distinct)]]
    assert len(set(first)) == len(first)
    shuffler.shuffle(listed)
    assert draw_pairs(listed, count, seed) == drawn
    assert draw_pairs(listed, len(listed) + 1, seed)[: min(count, distinct)] == drawn[: min(count, distinct)]


def test_every_track_is_as_likely_and_seeds_draw_others() -> None:
    listed = [(f"t{n}", f"caption {n}") for n in range(100)]
    hits = [0] * 100
    for seed in range(400):
        for track, _ in draw_pairs(listed, 10, seed):
            hits[int(track[1:])] += 1
    assert sum(hits) == 4000
    assert min(hits) > 15
    assert max(hits) < 75


def test_every_scheme_and_fold_has_pairs_of_its_own_measured_split() -> None:
    ids = ["a", "b", "c", "d"]
    labels = LABELS.from_rows(
        {"track_id": track, "tags": [], "caption": None if track == "d" else f"says {track}"} for track in ids
    )
    measured = {("default", 0): "ab", ("kfold", 0): "cd", ("kfold", 1): "ab", ("lists", 0): ""}
    splits = SPLITS.from_rows(
        {"scheme": scheme, "fold": fold, "track_id": track, "split": "test" if track in chosen else "train"}
        for (scheme, fold), chosen in measured.items()
        for track in ids
    )
    drawn, notes = pairs_of_schemes(splits, labels, PairsSection(count=5))
    found: dict[tuple[str, int], dict[str, str]] = {}
    for row in drawn.to_pylist():
        found.setdefault((row["scheme"], row["fold"]), {})[row["track_id"]] = row["caption"]
    assert found == {
        ("default", 0): {"a": "says a", "b": "says b"},
        ("kfold", 0): {"c": "says c"},
        ("kfold", 1): {"a": "says a", "b": "says b"},
    }
    assert notes == []


def test_published_pairs_are_those_of_the_published_split_as_they_are() -> None:
    labels = LABELS.from_rows({"track_id": track, "tags": [], "caption": "ours"} for track in "ab")
    splits = SPLITS.from_rows(
        {"scheme": scheme, "fold": 0, "track_id": track, "split": "test"}
        for scheme in ("default", "published")
        for track in "ab"
    )
    released = PUBLISHED_PAIRS.from_rows([{"pair_id": 0, "track_id": "b", "caption": "theirs"}])
    drawn, notes = pairs_of_schemes(splits, labels, PairsSection(count=5), released)
    assert [(r["scheme"], r["track_id"], r["caption"]) for r in drawn.to_pylist() if r["caption"] == "theirs"] == [
        ("published", "b", "theirs")
    ]
    assert drawn.num_rows == 3
    assert notes == ["default: 2 retrieval pairs have 1 distinct captions"]
