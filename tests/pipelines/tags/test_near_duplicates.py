from __future__ import annotations

import re
import unicodedata

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.near_duplicates import CaptionCounts, count_captions

texts = st.lists(st.one_of(st.none(), st.text("aAbé -,'!1", max_size=7)), max_size=14)


def word_set(text: str) -> frozenset[str]:
    """The definition, written another way."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    return frozenset(re.findall(r"\w+", plain.replace("'", "")))


@given(texts)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_counts_are_those_of_comparing_every_pair(captions: list[str | None]) -> None:
    kept = [text for text in captions if text is not None]
    distinct = [text for n, text in enumerate(kept) if text not in kept[:n]]
    first = [
        text
        for n, text in enumerate(distinct)
        if not any(word_set(text) and word_set(text) == word_set(other) for other in distinct[:n])
    ]
    expected = CaptionCounts(len(kept), len(distinct), len(first))
    assert count_captions(pa.array(captions, pa.string())) == expected


def test_what_a_person_would_call_the_same() -> None:
    same = ["Calm, dark piano.", "dark piano, CALM", "piano (calm; dark) calm", "cálm dark piano"]
    other = ["calm piano", "calm dark pianos"]
    counted = count_captions(pa.array([*same, *other, same[0], None]))
    assert counted == CaptionCounts(captions=7, distinct=6, meanings=3)
    (note,) = counted.notes()
    assert "7 captions, 6 of them distinct: 1 repeat another word for word, and 3 of the distinct" in note
