from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.pairs import draw_pairs

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
