from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.captions import caption_tracks, joined
from schemas.manifest import CaptionsSection
from schemas.store import Store

tags = st.lists(st.text("abc ", min_size=1, max_size=4), min_size=1, max_size=6, unique=True)


@given(st.text(max_size=5), tags, st.integers(0, 3))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_a_caption_is_the_tags_joined_in_an_order_of_the_track(track: str, tags: list[str], seed: int) -> None:
    settings_ = CaptionsSection(seed=seed, separator="|")
    found = joined(track, tags, settings_)
    assert sorted(found.split("|")) == sorted(tags)
    assert joined(track, tags[::-1], settings_) == found
    assert joined(track, tags, CaptionsSection(order="sorted", separator="|")) == "|".join(sorted(tags))


def test_a_model_does_not_learn_the_alphabet() -> None:
    orders = {joined(f"t{n}", ["a", "b", "c"], CaptionsSection()) for n in range(200)}
    assert orders == {", ".join(order) for order in itertools.permutations("abc")}
    seeds = {joined("t", ["a", "b", "c"], CaptionsSection(seed=n)) for n in range(200)}
    assert seeds == orders


@pytest.mark.parametrize("kind", ["joined", "templates"])
def test_without_tags_the_title_speaks_where_it_may(kind: str) -> None:
    tracks = pa.table({"track_id": ["t", "u"], "title": pa.array(["Title", None], pa.string())})
    bare = pa.array([[], []], pa.list_(pa.string()))
    out = Store("memory://captions")

    def captions(fallback: str) -> list[str | None]:
        section = CaptionsSection.model_validate({"kind": kind, "fallback": fallback})
        found: list[str | None] = caption_tracks(tracks, bare, {}, out, section).captions.to_pylist()
        return found

    assert captions("none") == [None, None]
    assert captions("title") == ["Title", None]
