from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.artists import artist_id, artist_key, common_names
from schemas.tables.tracks import UNKNOWN_ARTIST


@pytest.mark.parametrize(
    "names",
    [
        ("The Beatles", "Beatles", "Beatles, The", "the  beatles", "ＴＨＥ ＢＥＡＴＬＥＳ", "THE BEATLES "),
        ("Simon & Garfunkel", "Simon and Garfunkel", "simon  AND garfunkel"),
        ("Guns N' Roses", "Guns N’ Roses", "Guns N Roses"),
        ("Sigur Rós", "Sigur Ros", "SIGUR RO\u0301S"),
        ("MØ", "Mo"),
        ("Motörhead", "motorhead", "Moto\u0308rhead"),
        ("AC/DC", "AC-DC", "ac dc"),
        ("Jay-Z", "Jay Z", "JAY_Z"),
        ("Straße", "STRASSE"),
        ("A Tribe Called Quest", "Tribe Called Quest, A"),
        ("Łona", "lona"),
        ("Би-2", "БИ 2"),
    ],
)
def test_spellings_of_one_artist_have_one_key(names: tuple[str, ...]) -> None:
    assert len({artist_key(name) for name in names}) == 1
    assert len({artist_id(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Tyler, The Creator", "Tyler"),
        ("Tyler, The Creator", "Creator"),
        ("!!!", "???"),
        ("Blink 182", "Blink 18"),
        ("M83", "M82"),
        ("Therapy?", "The Rapy"),
        ("The The", "Thee"),
        ("あい", "いあ"),
        ("バンド", "ハント"),
        ("काल", "कला"),
        ("कला", "कली"),
        ("กา", "กี"),
        ("Theory", "Ory"),
        ("5'nizza", "nizza"),
        ("+", "−"),
        ("X", "X²"),
    ],
)
def test_two_artists_have_two_keys(first: str, second: str) -> None:
    assert artist_key(first) != artist_key(second)
    assert artist_id(first) != artist_id(second)


def test_names_of_signs_or_an_article_keep_something() -> None:
    assert artist_key("!!!") == "!!!"
    assert artist_key("The The") == artist_key("the the") != ""
    assert artist_key("The") == "the"
    assert artist_key("&") == "and"
    assert artist_key("Tyler, The Creator") == "tyler the creator"


@pytest.mark.parametrize("name", ["", "  ", "\t\n", "\u200b", "\u200d\ufeff", "\u00ad"])
def test_a_name_that_is_nothing_is_the_unknown_artist(name: str) -> None:
    assert artist_key(name) == ""
    assert artist_id(name) == UNKNOWN_ARTIST


def test_signs_that_are_not_seen_change_nothing() -> None:
    assert (
        artist_key("Björk\u200b") == artist_key("\ufeffBjörk") == artist_key("Bj\u00adörk") == artist_key("Björk")
    )


@given(st.text(max_size=12))
@settings(deadline=None, max_examples=500, derandomize=True)
def test_a_key_is_clean_and_ids_are_as_distinct_as_keys(name: str) -> None:
    key = artist_key(name)
    assert key == key.strip()
    assert "  " not in key
    assert artist_key(name.upper()) == artist_key(name.upper().lower())
    assert artist_id(name)
    assert artist_key(f" {name}\u200b ") == key
    assert artist_key(f"The {name}") == artist_key(f"the {name}")


@given(st.text("abz01 &'!é", min_size=1, max_size=12))
@settings(deadline=None, max_examples=500, derandomize=True)
def test_a_key_of_a_key_is_itself(name: str) -> None:
    key = artist_key(name)
    if not key.startswith("the "):  # one article is cut each time
        assert artist_key(key) == key


@given(
    st.lists(st.sampled_from(["the", "The", "a", "an", "and", "Blue", "2", "10cc", "é"]), min_size=1), st.booleans()
)
@settings(max_examples=200, derandomize=True)
def test_plain_names_are_read_as_those_with_signs(words: list[str], spaced: bool) -> None:
    name = ("  " if spaced else " ").join(words)
    assert artist_key(name) == artist_key(f"{name}!") == artist_key(f" {name} ")


@given(st.text("0123456789 -.x", max_size=10))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_digits_are_never_changed(name: str) -> None:
    assert [c for c in artist_key(name) if c.isdigit()] == [c for c in name if c.isdigit()]


def test_the_commonest_spelling_is_shown_and_the_others_are_told() -> None:
    names = [("b", "B"), ("a", "x"), ("b", "b"), ("a", "X"), ("a", "X"), ("c", "C")]
    chosen, lines = common_names(Counter(names))
    assert chosen == {"a": "X", "b": "B", "c": "C"}
    assert lines == [
        "artist 'X' is also written 'x': taken as one",
        "artist 'B' is also written 'b': taken as one",
    ]
    assert common_names(Counter(reversed(names))) == (chosen, lines)
    assert common_names({}) == ({}, [])
