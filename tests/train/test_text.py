"""The text of a track, and which texts are true of which tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.receipt import FileEntry, read_receipt
from schemas.store import Store
from schemas.tables import TRACKS
from train.data.dataset import Dataset
from train.data.text import DrawnText, Relation, TextSource, draw_text, related

TAGS = ("calm", "drums", "fast", "piano")
NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5).map(tuple)


def drawn(representation: str, epoch: int, tags: tuple[str, ...] = TAGS) -> DrawnText:
    source = TextSource("t1", tags, "a caption")
    return draw_text(source, representation, seed=5, epoch=epoch)  # type: ignore[arg-type]


def test_one_tag_is_drawn_uniformly() -> None:
    counts = Counter(drawn("tag", epoch).text for epoch in range(2000))
    assert set(counts) == set(TAGS)
    assert min(counts.values()) > 420 and max(counts.values()) < 580  # 500 ± 4 standard deviations


def test_a_sentence_joins_all_in_order() -> None:
    assert drawn("sentence", 0).text == "calm, drums, fast, piano"
    assert drawn("sentence", 0) == drawn("sentence", 9)


def test_stochastic_text_draws_how_many_and_which_uniformly() -> None:
    many: Counter[int] = Counter()
    which: Counter[str] = Counter()
    orders = set()
    for epoch in range(2000):
        text = drawn("stochastic", epoch)
        parts = text.text.split(", ")
        assert len(set(parts)) == len(parts) and set(parts) <= set(TAGS)
        assert text.tags == tuple(sorted(parts))
        many[len(parts)] += 1
        which.update(parts)
        orders.add(tuple(parts))
    assert set(many) == {1, 2, 3, 4}
    assert min(many.values()) > 420 and max(many.values()) < 580
    assert max(which.values()) - min(which.values()) < 200  # each is in 1,250 texts, expected
    assert len(orders) == 4 + 12 + 24 + 24


@given(tags=NAMES.filter(bool), epoch=st.integers(0, 99), seed=st.integers(0, 99))
def test_a_draw_is_a_pure_function_of_its_key(tags: tuple[str, ...], epoch: int, seed: int) -> None:
    source = TextSource("t", tags, None)
    first = draw_text(source, "stochastic", seed=seed, epoch=epoch)
    assert first == draw_text(source, "stochastic", seed=seed, epoch=epoch)


def test_without_tags_the_caption_is_the_text() -> None:
    for representation in ("tag", "sentence", "stochastic"):
        assert drawn(representation, 3, ()).text == "a caption"
    with pytest.raises(ValueError, match="neither tags nor a caption"):
        draw_text(TextSource("t", (), None), "tag", seed=0, epoch=0)


RELATIONS: tuple[Relation, ...] = ("equal", "implied", "recording", "artist")


def true_of(source: TextSource, own: DrawnText, of: TextSource, other: DrawnText, relation: str) -> bool:
    """The definition, one pair at a time."""
    same = other.key == own.key
    implied = bool(other.tags) and set(other.tags) <= set(source.tags)
    return {
        "equal": same,
        "implied": same or implied,
        "recording": source.recording_id is not None and source.recording_id == of.recording_id,
        "artist": source.artist_id is not None and source.artist_id == of.artist_id,
    }[relation]


WHO = st.sampled_from([None, "a", "b", "c"])


@given(
    tracks=st.lists(st.tuples(NAMES, st.sampled_from(["x", "y"]), WHO, WHO), min_size=1, max_size=8),
    relations=st.sets(st.sampled_from(RELATIONS)),
    epoch=st.integers(0, 20),
)
def test_a_relation_is_its_definition(
    tracks: list[tuple[tuple[str, ...], str, str | None, str | None]], relations: set[Relation], epoch: int
) -> None:
    sources = [TextSource(f"t{number}", *track) for number, track in enumerate(tracks)]
    texts = [draw_text(source, "stochastic", seed=0, epoch=epoch) for source in sources]
    expected = [
        [
            i == j or any(true_of(sources[i], texts[i], sources[j], texts[j], relation) for relation in relations)
            for j in range(len(texts))
        ]
        for i in range(len(texts))
    ]
    np.testing.assert_array_equal(related(sources, texts, relations), np.array(expected))


def test_the_order_of_tags_does_not_make_two_texts_differ() -> None:
    sources = [TextSource("a", ("x", "y"), None), TextSource("b", ("x", "y", "z"), None)]
    texts = [DrawnText("y, x", ("x", "y")), DrawnText("x, y", ("x", "y"))]
    assert related(sources, texts, ["equal"]).all()


def test_where_every_track_is_held_against_every_tag_none_has_a_text() -> None:
    with pytest.raises(ValueError, match="whole vocabulary"):
        draw_text(TextSource("t", ("x",), None), "vocabulary", seed=0, epoch=0)


def test_artists_that_nobody_knows_are_not_one(make_dataset: Callable[..., Store], tmp_path: Path) -> None:
    said = [{"track_id": f"t{n}", "tags": ["calm"], "caption": "calm", "split": "train"} for n in range(3)]
    store = make_dataset(str(tmp_path / "d"), said, {})
    rows = [
        {"track_id": f"t{n}", "artist_id": artist, "recording_id": f"t{n}", "audio_uri": "x"}
        for n, artist in enumerate(("unknown-artist", "unknown-artist", "somebody"))
    ]
    TRACKS.write(store, TRACKS.from_rows(rows))
    receipt = read_receipt(store)
    assert receipt is not None
    entry = receipt.stages["tables"]
    file = FileEntry(sha256=store.sha256(TRACKS.filename), bytes=store.size(TRACKS.filename) or 0, rows=3)
    stages = {
        **receipt.stages,
        "tables": entry.model_copy(update={"files": {**entry.files, TRACKS.filename: file}}),
    }
    receipt.model_copy(update={"stages": stages}).write(store)
    texts = Dataset(store.root).texts
    assert [texts[f"t{n}"].artist_id for n in range(3)] == [None, None, "somebody"]
