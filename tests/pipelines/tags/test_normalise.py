from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.normalise import Normaliser, plain_words
from pipelines.tags.rules import load_rules
from pipelines.words import tidy, words_of

typed = st.one_of(
    st.text(max_size=15),
    st.lists(
        st.sampled_from(["Rock", "rock", "&", "n", "'n'", "music", "songs", "80s", "1980's", "é", "-", "!", "+"]),
        max_size=5,
    ).map(" ".join),
)


@pytest.mark.parametrize(
    "variants",
    [
        ("hip hop", "Hip-Hop", "hiphop", "HIP_HOP", "hip  hop", "hip hop music", "Hip‐Hop"),
        ("r&b", "RnB", "R & B", "r'n'b", "R n B", "rhythm and blues", "Rhythm & Blues", "R’n’B"),
        ("rock and roll", "Rock & Roll", "rock 'n' roll", "Rock ’n’ Roll", "rock'n'roll", "rocknroll", "rock+roll"),
        ("80s", "80's", "1980s", "1980's", "1980’s", "80 s", "Eighties", "80s music", "８０s"),
        ("50s", "1950’s", "1950s", "50's"),
        ("00s", "2000s", "2000's", "noughties"),
        ("10s", "2010s"),
        ("female vocalists", "female vocalist", "Female Vocals", "female-vocals"),
        ("guitar", "guitars", "Guitar music", "genre guitar"),
        ("pop", "Pop Music", "pop songs", "POP", "pop\u200b", "ｐｏｐ"),
        ("chanson française", "Chanson Francaise", "chansons francaises".replace("chansons", "chanson")),
        ("ballad", "Ballads"),
        ("melody", "melodies"),
        ("waltz", "waltzes"),
        ("drum and bass", "drum & bass", "Drum'n'Bass", "dnb", "D&B", "drum n bass"),
        ("lo-fi", "lofi", "lo fi", "Low-Fi"),
        ("singer-songwriter", "Singer/Songwriter", "singer songwriters"),
    ],
)
def test_ways_to_write_one_tag_have_one_key(variants: tuple[str, ...], normaliser: Normaliser) -> None:
    assert {normaliser(variant).key for variant in variants} == {normaliser(variants[0]).key}


@pytest.mark.parametrize(
    "tags",
    [
        ("blues", "blue"),
        ("bass", "ba"),
        ("strings", "string"),
        ("new music", "new"),
        ("black music", "black"),
        ("love songs", "love"),
        ("1920s", "2020s"),
        ("80s", "90s", "00s", "10s", "80"),
        ("18+", "18 and over"),
        ("2 step", "2 steps ahead", "3 step"),
        ("classic", "classical", "classics"),
        ("electronic", "electronica", "electro"),
        ("pop rock", "rock pop"),
        ("कला", "काल", "कली"),
        ("パンク", "ハンク"),
        ("ไทย", "ไท"),
    ],
)
def test_tags_that_differ_keep_their_own_keys(tags: tuple[str, ...], normaliser: Normaliser) -> None:
    assert len({normaliser(tag).key for tag in tags}) == len(tags)


@given(st.text(max_size=20))
@settings(deadline=None, max_examples=500, derandomize=True)
def test_tidying_what_is_tidy_changes_nothing(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    assert once == once.strip()
    assert unicodedata.is_normalized("NFKC", once)
    assert once.casefold() == once
    assert not any(unicodedata.category(c) in ("Cf", "Cc") for c in once)
    assert words_of(words_of(once)) == words_of(once)


@given(typed)
@settings(deadline=None, max_examples=500, derandomize=True)
def test_a_group_is_found_again_by_its_name(normaliser: Normaliser, raw: str) -> None:
    form = normaliser(raw)
    assert normaliser(form.shown).key == form.key
    name = normaliser.name_of(form.key)
    if name is not None:
        assert normaliser(name).key == form.key
    assert normaliser(f" {raw.upper()}\u200b").key == normaliser(raw.upper()).key
    assert bool(form.key) == bool(tidy(raw))


@given(st.text("0123456789 -a", min_size=1, max_size=8).filter(lambda t: not t.endswith("s")))
@settings(deadline=None, max_examples=300, derandomize=True)
def test_digits_are_never_changed(ruled: Callable[..., Normaliser], text: str) -> None:
    key = ruled()(text).key
    assert [c for c in key if c.isdigit()] == [c for c in text if c.isdigit()]


@pytest.mark.parametrize(
    ("raw", "name", "rule"),
    [
        ("rock", "rock", "as_typed"),
        ("Rock", "rock", "case"),
        ("ＲＯＣＫ", "rock", "case"),
        ("trópical", "tropical", "accents"),
        ("post-rock", "post rock", "punctuation"),
        ("postrock", "post rock", "joined"),
        ("drum & bass", "drum and bass", "and"),
        ("1980's", "80s", "decade"),
        ("eighties", "80s", "word"),
        ("deutsch rock", "german rock", "word"),
        ("psychadelic rock", "psychedelic rock", "spelling"),
        ("rock 80s", "80s rock", "order"),
        ("rock italian", "italian rock", "order"),
        ("country: italy", "italy", "prefix"),
        ("rock music", "rock", "suffix"),
        ("the rock music", "rock", "prefix"),
        ("genre rock", "rock", "prefix"),
        ("guitars", "guitar", "plural"),
        ("acapella", "a cappella", "spelling"),
        ("ost", "soundtrack", "synonym"),
        ("shoegazze", "shoegaze", "spelling"),
    ],
)
def test_the_rule_that_joined_a_tag_is_told(raw: str, name: str, rule: str, normaliser: Normaliser) -> None:
    assert normaliser.joined_by(raw, name) == rule


def test_an_irrelevant_word_stays_when_nothing_else_would(ruled: Callable[..., Normaliser]) -> None:
    rules = ruled(suffixes=["music", "songs"], prefixes=["mood"], never_alone=["new"], keep_whole=["black music"])
    assert rules("music").words == "music"
    assert rules("music songs").words == "music songs"
    assert rules("sad songs music").words == "sad"
    assert rules("mood sad music").words == "sad"
    assert rules("mood music").words == "mood music"
    assert rules("new music").words == "new music"
    assert rules("mood new songs").words == "mood new songs"
    assert rules("80 songs").words == "80 songs"
    assert rules("Black Music").words == "black music"
    assert rules("mood black music").words == "black music"


@given(
    st.lists(
        st.sampled_from(
            [
                "new",
                "black",
                "love",
                "the",
                "my",
                "good",
                "music",
                "songs",
                "song",
                "tag",
                "genre",
                "mood",
                "bands",
                "sad",
                "80",
                "!",
            ]
        )
    )
)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_stripping_leaves_something_that_speaks_by_itself(normaliser: Normaliser, words: list[str]) -> None:
    rules = normaliser.rules
    typed = " ".join(words)
    left = normaliser(typed).words
    assert bool(left) == bool(tidy(typed))
    if left != plain_words(tidy(typed)) and plain_words(tidy(typed)):
        silent = {*rules.never_alone, *rules.suffixes, *rules.prefixes}
        assert left in rules.keep_whole or any(word not in silent and word.isalpha() for word in left.split())


def test_rules_in_any_case_are_the_same_rules(ruled: Callable[..., Normaliser]) -> None:
    rules = ruled(synonyms={"R&B": ["RnB"]}, never_singular=["Blues"], categories={"genre": ["R&B"]})
    assert rules("rnb").key == rules("r & b").key
    assert rules.name_of(rules("RNB").key) == "R&B"
    assert rules.categories[rules("rnb").key] == "genre"
    assert rules("blues").key == "blues"


def test_without_rules_a_tag_is_what_was_typed() -> None:
    plain = Normaliser(load_rules("none"))
    for raw in ("Rock ", "rock", "R&B", "80's", ""):
        assert plain(raw).key == plain(raw).shown == raw


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rock & roll", "rock and roll"),
        ("(rock) & (roll)", "rock and roll"),
        ("& country", "country"),
        ("18+", "18"),
        ("a+b", "a and b"),
        ("c++", "c"),
        ("drum 'n bass", "drum and bass"),
        ("hip-hop/rap", "hip hop rap"),
        ("'til dawn", "til dawn"),
        ("80's", "80s"),
        ("1980s rock", "80s rock"),
        ("1900s rock", "1900s rock"),
        ("f*ck", "fʔck"),
        ("...", ""),
        ("♥\ufe0f", ""),
    ],
)
def test_words_without_punctuation(text: str, words: str) -> None:
    assert plain_words(text) == words
