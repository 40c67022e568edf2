from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.captions import caption
from schemas.manifest import CaptionsSection

tags = st.lists(st.text("abc ", min_size=1, max_size=4), min_size=1, max_size=6, unique=True)


@given(st.text(max_size=5), tags, st.integers(0, 3))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_a_caption_is_the_tags_joined_in_an_order_of_the_track(track: str, tags: list[str], seed: int) -> None:
    settings_ = CaptionsSection(seed=seed, separator="|")
    found = caption(track, tags, None, settings_)
    assert found is not None
    assert sorted(found.split("|")) == sorted(tags)
    assert caption(track, tags[::-1], "title", settings_) == found
    assert caption(track, tags, None, CaptionsSection(order="sorted", separator="|")) == "|".join(sorted(tags))


def test_a_model_does_not_learn_the_alphabet() -> None:
    orders = {caption(f"t{n}", ["a", "b", "c"], None, CaptionsSection()) for n in range(200)}
    assert orders == {", ".join(order) for order in itertools.permutations("abc")}
    seeds = {caption("t", ["a", "b", "c"], None, CaptionsSection(seed=n)) for n in range(200)}
    assert seeds == orders


def test_without_tags_the_title_speaks_where_it_may() -> None:
    assert caption("t", [], "Title", CaptionsSection()) is None
    assert caption("t", [], "Title", CaptionsSection(fallback="title")) == "Title"
    assert caption("t", [], None, CaptionsSection(fallback="title")) is None
