from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.templates import Template, TemplateRules, load_templates
from schemas.errors import UsageError

CATEGORIES = [
    "genre", "style", "mood", "theme", "instrument", "vocal", "activity", "location", "language", "culture",
    "decade", "other", "weather",
]  # fmt: skip
DEFAULT = load_templates("default")
words = st.text("abcdexyz&'-", min_size=1, max_size=9).filter(lambda word: any(c.isalpha() for c in word))
tagged = st.dictionaries(words, st.sampled_from(CATEGORIES), min_size=1, max_size=9)


def lists_of(sentence: str, tag: str) -> bool:
    """Whether the tag stands in the sentence by itself, not inside of a longer word."""
    return re.search(rf"(?<![^\s(,]){re.escape(tag)}(?![^\s),.:])", sentence) is not None


@given(st.text(max_size=4), tagged, st.integers(0, 5), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=400, derandomize=True)
def test_every_tag_is_in_the_sentence_and_no_slot_is_left(
    track: str, categories: dict[str, str], seed: int, random: object
) -> None:
    tags = list(categories)
    sentence = DEFAULT.sentence(track, tags, categories, seed)
    assert all(lists_of(sentence, tag) for tag in tags), sentence
    assert not re.search(r"[{}\[\]]|a\(n\)", sentence, re.IGNORECASE), sentence
    assert not re.search(r"  | [,.)]|,,|\( |^\s|\s$", sentence), sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert DEFAULT.sentence(track, tags[::-1], categories, seed) == sentence
    assert DEFAULT.sentence(track, [*tags, *tags], categories, seed) == sentence


@given(tagged.filter(lambda tags: not {"a", "an"} & set(tags)), st.integers(0, 50))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_no_vowel_follows_a_and_no_consonant_an(categories: dict[str, str], seed: int) -> None:
    sentence = DEFAULT.sentence("t", categories, categories, seed)
    # Words of these letters are in none of the lists of exceptions.
    for article, first in re.findall(r"(?<!\S)(an?) \W*([a-z])", sentence):
        if first in "abcdexyz":
            assert (article == "an") == (first in "ae"), sentence


def test_a_track_gets_one_sentence_and_tracks_get_several() -> None:
    categories = {"jazz": "genre", "calm": "mood", "piano": "instrument", "sleep": "activity", "france": "location"}
    sentences = {DEFAULT.sentence(f"t{n}", categories, categories, 0) for n in range(300)}
    shapes = {re.sub(r"jazz|calm|piano|sleep|france", "_", sentence) for sentence in sentences}
    assert len(shapes) == len(DEFAULT.sentences)
    assert len({DEFAULT.sentence("t", categories, categories, seed) for seed in range(50)}) > 3


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"jazz": "genre"}, "A jazz track."),
        ({"electronic": "genre"}, "An electronic track."),
        ({"uk garage": "genre"}, "A uk garage track."),
        ({"r&b": "genre"}, "An r&b track."),
        ({"euro disco": "genre"}, "A euro disco track."),
        ({"80s": "decade"}, "An 80s track."),
        ({"60s": "decade"}, "A 60s track."),
        ({"1980s": "decade"}, "A 1980s track."),
        ({"18th century": "decade"}, "An 18th century track."),
        ({"unusual": "mood"}, "An unusual track."),
        ({"unique": "mood"}, "A unique track."),
        ({"honest": "mood"}, "An honest track."),
        ({"élégant": "mood"}, "An élégant track."),
        ({"'ambient'": "genre"}, "An 'ambient' track."),
        ({"weird": "weather"}, "A track, tagged weird."),
        ({"weird": "unheard of", "jazz": "genre"}, "A jazz track, tagged weird."),
        ({"piano": "instrument"}, "A track with piano."),
        ({"instrumental": "instrument"}, "An instrumental track."),
        ({"male vocalists": "instrument"}, "A track (vocals: male vocalists)."),
        ({"usa": "location"}, "A track from the usa."),
        ({"france": "location"}, "A track from france."),
        ({"sleep": "activity"}, "A track, made for sleep playlists."),
        ({"{mood}": "genre"}, "A {mood} track."),
        ({"[x]": "other"}, "A track, tagged [x]."),
    ],
)  # fmt: skip
def test_sentences_read_as_a_person_writes_them(tags: dict[str, str], expected: str) -> None:
    first = DEFAULT.model_copy(update={"sentences": DEFAULT.sentences[:1]})
    assert TemplateRules.model_validate(first.model_dump()).sentence("t", tags, tags, 0) == expected


def test_lists_of_one_two_and_many() -> None:
    template = "A(n) [{mood} ]{genre} track[ with {instrument}][, tagged {other}]."
    rules = TemplateRules(sentences=["Something[ like {other}].", template])
    genre = {"rock": "genre"}
    moods = {"calm": "mood", "dark": "mood", "slow": "mood"}

    def sentence(tags: dict[str, str]) -> str:
        return Template.parse(template).fill(tags.items(), rules.articles)

    assert sentence(genre) == "A rock track."
    assert sentence({**dict(list(moods.items())[:2]), **genre}) == "A calm and dark rock track."
    assert sentence({**moods, **genre}) == "A calm, dark and slow rock track."
    assert sentence({**genre, "piano": "instrument", "odd": "x", "rare": "y"}) == (
        "A rock track with piano, tagged odd and rare."
    )
    assert rules.sentence("t", moods, moods, 0).startswith("Something like ")


@pytest.mark.parametrize(
    ("sentence", "problem"),
    [
        ("A {genre} track.", "no {other}"),
        ("A [{genre} track, {other}.", "'[' is not closed"),
        ("A {genre}] track, {other}.", "']' at 9 has no partner"),
        ("A {genre track[, {other}].", "has no partner"),
        ("A {genre} {genre+mood} track[, {other}].", "'genre' stands twice"),
        ("A {} track[, {other}].", "a slot without a category"),
        ("A [nice ]track[, {other}].", "would never be there"),
        ("A {genre} track[, {other}].", "at least one sentence must need no category"),
    ],
)
def test_a_template_that_would_lose_tags_is_refused(sentence: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        TemplateRules(sentences=[sentence])


def test_unknown_templates_name_the_known() -> None:
    with pytest.raises(UsageError, match=r"captions\.templates: no 'nice' in manifests/templates; known: default"):
        load_templates("nice")
