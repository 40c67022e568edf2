"""Slips of the pen against all that a typist may do to a word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.normalise import Normaliser
from pipelines.tags.spelling import misspelt_keys, misspelt_words, slip

Ruled = Callable[..., Normaliser]

VOWELS = "aeiouy"
SOUNDS = ["ck", "sz", "sc", "vw", "jg"]
ROWS = ["qwertyuiop", "asdfghjkl", "zxcvbnm"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TIMES = {"doubled": 5, "swapped": 5, "left out": 5, "put in": 5, "vowel": 5, "sound": 5, "beside": 8}
near_words = st.text("abceos", min_size=1, max_size=7)


def typed_for(right: str) -> dict[str, set[str]]:
    """By brute force: what comes of one slip, and which slips may have made it."""
    made: dict[str, set[str]] = {}
    last = len(right) - 1
    for at in range(1, last):
        for other in LETTERS:
            wrong = right[:at] + other + right[at + 1 :]
            pair = {other, right[at]}
            if pair <= set(VOWELS):
                made.setdefault(wrong, set()).add("vowel")
            if any(pair == set(sounds) for sounds in SOUNDS):
                made.setdefault(wrong, set()).add("sound")
            if any(other + right[at] in row or right[at] + other in row for row in ROWS):
                made.setdefault(wrong, set()).add("beside")
    for at in range(1, last):
        made.setdefault(right[:at] + right[at + 1] + right[at] + right[at + 2 :], set()).add("swapped")
    for at in range(len(right)):
        doubled = right[:at] + right[at] + right[at:]
        if not doubled.endswith("ss"):
            made.setdefault(doubled, set()).add("doubled")
        if at and right[at] == right[at - 1] and not right.endswith("ss"):
            made.setdefault(right[:at] + right[at + 1 :], set()).add("doubled")
        elif right[at : at + 1] == right[at + 1 : at + 2]:
            continue
        elif 0 < at < last or (at > 0 and right[at] in "tldgck"):
            made.setdefault(right[:at] + right[at + 1 :], set()).add("left out")
        if at > 0:
            for other in set(LETTERS) - {right[at], right[at - 1]}:
                made.setdefault(right[:at] + other + right[at:], set()).add("put in")
    return made


@given(near_words, near_words)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_a_slip_is_one_thing_that_a_typist_does(right: str, other: str) -> None:
    made = typed_for(right)
    made.pop(right, None)
    for wrong in sorted(made):
        if not wrong.endswith("ss"):
            assert slip(wrong, right) in made[wrong], (wrong, right)
    if other not in made:
        assert slip(other, right) is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("electornic", "electronic"),
        ("psychadelic", "psychedelic"),
        ("regae", "reggae"),
        ("accoustic", "acoustic"),
        ("hardcoer", "hardcore"),
        ("guitat", "guitar"),
        ("metall", "metal"),
    ],
)
def test_what_people_mistype(wrong: str, right: str) -> None:
    assert (slip(wrong, right) is not None) == (wrong != "guitat")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("trance", "trace"),
        ("trance", "france"),
        ("house", "horse"),
        ("rap", "trap"),
        ("funk", "punk"),
        ("male", "female"),
        ("iran", "iraq"),
        ("electronic", "electronica"),
        ("blues", "blue"),
        ("pop", "hop"),
        ("jazz", "jazzy"),
        ("brass", "bras"),
    ],
)
@pytest.mark.parametrize("times", [1, 10, 100_000])
def test_words_of_their_own_are_never_slips_whatever_the_counts(
    one: str, other: str, times: int, normaliser: Normaliser
) -> None:
    for weights in ({one: 10 * times, other: 10}, {one: 10, other: 10 * times}):
        assert misspelt_words(weights, normaliser) == {}
        groups = {word: (word, weight) for word, weight in weights.items()}
        assert misspelt_keys(groups, weights, normaliser) == {}


@given(
    st.dictionaries(
        st.one_of(
            st.text("abc", min_size=5, max_size=8),
            st.sampled_from(["shogaze", "shoegze", "shoegazze", "shoegazzz", "shoegzae", "hoegaze", "shoegazr"]),
            st.just("shoegaze"),
        ),
        st.integers(1, 400),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_a_misspelt_word_is_a_slip_of_a_much_commoner_one(ruled: Ruled, weights: dict[str, int]) -> None:
    found = misspelt_words(weights, ruled())

    def near(wrong: str) -> list[str]:
        return [
            right
            for right in weights
            if len(wrong) >= 5
            and len(right) >= 7
            and (how := slip(wrong, right)) is not None
            and weights[right] // 4 >= TIMES[how] * weights[wrong]
        ]

    assert set(found) == {wrong for wrong in weights if near(wrong)}
    for wrong, right in found.items():
        assert right not in found
        step = min(near(wrong), key=lambda word: (-(weights[word] // 4), word))
        assert right == found.get(step, step)


def test_a_word_of_the_rules_may_be_as_rare_as_its_slip(ruled: Ruled) -> None:
    weights = {"shoegaze": 1, "shoegazze": 1}
    assert misspelt_words(weights, ruled()) == {}
    assert misspelt_words(weights, ruled(categories={"genre": ["shoegaze"]})) == {"shoegazze": "shoegaze"}


def test_two_slips_in_a_long_word_that_sounds_the_same(ruled: Ruled) -> None:
    weights = {"psychedelic": 100, "psykedelik": 1, "psichodelic": 1}
    assert misspelt_words(weights, ruled()) == {"psichodelic": "psychedelic"}


def test_curated_words_digits_and_plurals_are_no_misspellings(ruled: Ruled) -> None:
    rules = ruled(categories={"genre": ["electronica"]}, synonyms={"harmonics": ["overtones"]})
    assert misspelt_words({"electronica": 1, "electronicae": 500}, rules) == {}
    assert misspelt_words({"harmonic": 1, "harmonics": 50, "harmonica": 500}, rules) == {}
    assert misspelt_words({"808drums": 500, "909drums": 1, "808drumz": 1}, rules) == {}
    assert misspelt_keys({"808drums": ("808drums", 500), "80drums": ("80drums", 1)}, {}, rules) == {}


def test_two_that_are_distinct_do_not_meet_in_a_third(ruled: Ruled) -> None:
    rules = ruled(distinct=[["organiac", "organiec"], ["melod ix", "melod ox"]])
    weights = {"organiac": 2, "organiec": 1, "organic": 500}
    assert misspelt_words(weights, rules) == {}
    assert misspelt_words(weights, ruled()) == {"organiac": "organic", "organiec": "organic"}
    groups = {
        "melodix": ("melodix", 2),
        "melodox": ("melodox", 1),
        "melodx": ("melodx", 90),
        "melodax": ("melodax", 99),
    }
    assert misspelt_keys({**groups, "melodax": ("melodax", 500)}, {}, rules) == {"melodix": "melodax"}


def test_a_short_word_is_judged_by_the_tag_that_it_stands_in(ruled: Ruled) -> None:
    weights = {"death": 100, "deth": 1, "metal": 100}
    assert misspelt_words(weights, ruled()) == {}
    groups = {"deathmetal": ("death metal", 90), "dethmetal": ("deth metal", 1), "metal": ("metal", 10)}
    assert misspelt_keys(groups, weights, ruled()) == {"dethmetal": "deathmetal"}
