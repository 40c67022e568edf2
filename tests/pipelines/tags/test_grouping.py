from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.grouping import TagCount, TagGroup, group_tags
from pipelines.tags.normalise import Normaliser
from pipelines.tags.rules import load_rules
from schemas.reasons import Reason

Ruled = Callable[..., Normaliser]


def group(normaliser: Normaliser, **counts: int) -> dict[str, TagGroup]:
    listed = [TagCount(tag.replace("_", " "), number, "tags") for tag, number in counts.items()]
    return {found.tag: found for found in group_tags(listed, normaliser)[0]}


def members(groups: Iterable[TagGroup]) -> set[frozenset[str]]:
    return {frozenset(found.members) for found in groups}


def test_a_group_has_the_name_of_its_commonest_member(normaliser: Normaliser) -> None:
    listed = [TagCount("Shoe-Gaze", 5, "t"), TagCount("shoegaze", 9, "t"), TagCount("shoe gaze", 7, "t")]
    found, dropped = group_tags(listed, normaliser)
    assert dropped == {}
    (only,) = found
    assert only.tag == "shoegaze"
    assert only.members == ("shoegaze", "shoe gaze", "Shoe-Gaze")
    assert only.joined_by == ("as_typed", "joined", "joined")


def test_forms_that_differ_in_case_are_counted_as_one_form(normaliser: Normaliser) -> None:
    listed = [TagCount("Zydeco Jam", 3, "t"), TagCount("zydeco jam", 3, "t"), TagCount("zydeco-jam", 5, "t")]
    assert group_tags(listed, normaliser)[0][0].tag == "zydeco jam"


def test_a_curated_name_wins_over_the_commonest(normaliser: Normaliser) -> None:
    (found,) = group_tags([TagCount("hiphop", 900, "t"), TagCount("Hip-Hop", 5, "t")], normaliser)[0]
    assert (found.tag, found.category, found.by_rule) == ("hip hop", "genre", False)


def test_a_category_comes_from_the_rules_else_from_the_source_else_from_the_form(normaliser: Normaliser) -> None:
    listed = [
        TagCount("piano", 3, "genre"),
        TagCount("glitchcore", 3, "genre"),
        TagCount("theorbo", 3, "instrument"),
        TagCount("fretful", 3, "mood/theme"),
        TagCount("1910s", 3, "tags"),
        TagCount("whatever", 3, "tags"),
    ]
    found = {g.tag: (g.category, g.by_rule) for g in group_tags(listed, normaliser)[0]}
    assert found == {
        "piano": ("instrument", False),
        "glitchcore": ("genre", False),
        "theorbo": ("instrument", False),
        "fretful": ("mood", False),
        "1910s": ("decade", True),
        "whatever": ("other", True),
    }


@pytest.mark.parametrize(
    "raw",
    [
        "seen live",
        "Seen Live",
        "seen-live",
        "My Favorites",
        "1999",
        "albums i own",
        "♥♥♥",
        "5 stars",
        "favourites",
        "haha haha",
        "sooooo goood",
        "uk top 40",
        "bestsongever",
        "so catchy i might explode",
        "fuckin perfect",
        "a",
        "songs are like time machines",
        "que musica boa",
        "for days when i am particularly angry with you",
        "long " * 41,
        "...",
        "\u200b",
        "",
    ],
)
def test_what_says_nothing_of_the_music_is_dropped_with_its_rule(raw: str, normaliser: Normaliser) -> None:
    found, dropped = group_tags([TagCount(raw, 3, "t"), TagCount("rock", 1, "t")], normaliser)
    assert [g.tag for g in found] == ["rock"]
    assert dropped[raw][0] == Reason.TAG_NOT_MUSICAL
    assert dropped[raw][1]


def test_a_slip_of_what_says_nothing_leaves_with_it(normaliser: Normaliser) -> None:
    listed = [TagCount("underrated", 100, "t"), TagCount("beloved", 100, "t"), TagCount("belovedd", 1, "t")]
    found, dropped = group_tags(listed, normaliser)
    assert found == []
    assert {tag: line for tag, (_, line) in dropped.items()} == {
        "underrated": "underrated",
        "beloved": "beloved",
        "belovedd": "beloved",
    }


@pytest.mark.parametrize(
    "raw",
    [
        "new wave of british heavy metal",
        "guitar-based digi-bongo acapella-rap-funk-comedy folk duo",
        "lo-fi",
        "so lo-fi",
        "dada",
        "808 state",
        "4ad",
        "60s",
        "10000 maniacs",
        "love songs",
        "sad songs",
        "live",
        "my bloody valentine",
        "linda perry",
        "idm",
        "c-pop",
        "oi",
        "ebm",
        "anti-folk",
        "bass",
        "cool jazz",
        "hot jazz",
        "hard rock",
        "great american songbook",
        "music hall",
        "video game music",
        "a cappella",
        "on-u sound",
        "i-pop",
    ],
)
def test_what_looks_like_a_remark_and_is_none_stays(raw: str, normaliser: Normaliser) -> None:
    found, dropped = group_tags([TagCount(raw, 3, "t")], normaliser)
    assert (len(found), dropped) == (1, {})


def test_clean_tags_are_left_as_they_are() -> None:
    plain = Normaliser(load_rules("none"))
    listed = [TagCount(tag, 5, "genre") for tag in ("Rock", "rock", "rock music", "seen live", "instrumental")]
    found, dropped = group_tags([*listed, TagCount("instrumentall", 1, "genre")], plain)
    assert members(found) == {frozenset([c.raw_tag]) for c in [*listed, TagCount("instrumentall", 1, "")]}
    assert dropped == {}


ONE_MEANING = [
    ["hip hop", "hip-hop", "hiphop", "Hip-Hop", "HIP HOP", "hip hop music"],
    ["psychedelic", "psychadelic", "Psychedelic", "psychedelisch"],
    ["electronic", "electornic", "Electronic music", "elektronisch"],
    ["edm", "EDM", "electronic dance music"],
    ["r&b", "rnb", "RnB", "rhythm and blues", "Rhythm & Blues", "r'n'b"],
    ["drum and bass", "dnb", "drum'n'bass", "Drum & Bass", "drum n bass"],
    ["80s", "80's", "eighties", "1980s", "８０s", "80s music"],
    ["björk", "bjork", "Bjo\u0308rk", "bj\u200dörk"],
    ["ｊａｚｚ", "jazz", "jazz\u200b", "Jazz", "jazz songs"],
    ["german", "deutsch", "German"],
    ["french", "français", "francais"],
    ["brazil", "brasil"],
    ["spain", "españa"],
    ["finland", "suomi"],
    ["guitar", "guitars", "Guitar"],
    ["france", "country: france", "France"],
    ["chilean rock", "rock chileno", "chilean-rock"],
    ["80s rock", "rock 80s", "1980s rock"],
]
TWO_MEANINGS = [
    ["trance", "trace", "france"],
    ["house", "horse"],
    ["rap", "trap"],
    ["funk", "punk"],
    ["male", "female"],
    ["iran", "iraq"],
    ["60s", "80s"],
    ["electronica", "electronic"],
    ["post-rock", "pop rock"],
    ["folk pop", "pop folk"],
    ["blues", "blue"],
    ["brass", "bras"],
    ["bass", "bas"],
    ["strings", "string"],
    ["new music", "new", "music"],
    ["black music", "black", "music"],
    ["love songs", "love", "songs"],
    ["german", "germany"],
    ["808 state", "909 state"],
    ["apologetic", "apologetics"],
    ["jmusic", "j"],
    ["progressive metal", "metal"],
    ["acoustic experimental", "experimental acoustic"],
]


@pytest.mark.parametrize("tags", ONE_MEANING, ids=lambda tags: str(tags[0]))
@given(data=st.data())
@settings(deadline=None, max_examples=8, derandomize=True)
def test_tags_of_one_meaning_are_one_group(tags: list[str], data: st.DataObject, normaliser: Normaliser) -> None:
    common = data.draw(st.lists(st.integers(1, 100_000), min_size=len(tags), max_size=len(tags)))
    found, dropped = group_tags([TagCount(t, n, "tags") for t, n in zip(tags, common, strict=True)], normaliser)
    assert members(found) == {frozenset(tags)}
    assert dropped == {}


@pytest.mark.parametrize("tags", TWO_MEANINGS, ids=lambda tags: str(tags[0]))
@pytest.mark.parametrize("common", [(1, 1), (1, 100_000), (100_000, 1), (100_000, 100_000)])
def test_tags_of_two_meanings_never_meet(tags: list[str], common: tuple[int, int], normaliser: Normaliser) -> None:
    listed = [TagCount(t, n, "tags") for t, n in zip(tags, itertools.cycle(common), strict=False)]
    found, dropped = group_tags(listed, normaliser)
    assert len(found) + len(dropped) == len(tags)


def test_a_misspelling_joins_with_its_rule(normaliser: Normaliser) -> None:
    found = group(normaliser, ambient=50, ambientt=3, ambeint=4, ambiented=11)
    assert set(found) == {"ambient", "ambiented"}
    assert found["ambient"].members == ("ambient", "ambeint", "ambientt")
    assert found["ambient"].joined_by == ("as_typed", "spelling", "spelling")


def test_a_misspelt_word_is_misspelt_in_every_tag(normaliser: Normaliser) -> None:
    found = group(normaliser, shoegaze=50, nu_shoegaze=9, nu_shoegazze=1, shoegazze=1)
    assert {g.members for g in found.values()} == {("shoegaze", "shoegazze"), ("nu shoegaze", "nu shoegazze")}


NEAR_WORDS = """
electronic electronica electro Electronics elektronic trance trace france house horse classic classical classics
clasical romantic romance psychedelic psychedelia psychedelica acoustic acoustics accoustic melodic melody melodics
symphonic symphony sinphony industrial industry instrument instrumental instrumentals vocalist vocalise vocalists
austria australia austrlia orchestra orchestral orchestras american americana america country county organic organ
lonely lovely lonley sweden swedish 80s 90s 1980s
"""
WORDS = st.sampled_from(NEAR_WORDS.split())


@given(st.dictionaries(WORDS, st.integers(1, 500), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_grouping_loses_no_tag_joins_nothing_distinct_and_hears_no_order(
    normaliser: Normaliser, counts: dict[str, int], shuffler: random.Random
) -> None:
    listed = [TagCount(tag, number, "tags") for tag, number in counts.items()]
    found, dropped = group_tags(listed, normaliser)
    inside = [member for g in found for member in g.members]
    assert sorted([*inside, *dropped]) == sorted(counts)
    assert [g.tag for g in found] == sorted({g.tag for g in found})
    for one in found:
        assert len(one.members) == len(one.joined_by)
        assert [counts[m] for m in one.members] == sorted((counts[m] for m in one.members), reverse=True)
        for line in normaliser.rules.distinct:
            keys = {normaliser(tag).key for tag in line}
            assert len(keys & {normaliser(member).key for member in one.members}) <= 1
        digits = {"".join(c for c in normaliser(m).key if c.isdigit()) for m in one.members}
        assert len(digits) == 1
    shuffler.shuffle(listed)
    assert group_tags(listed, normaliser) == (found, dropped)
    again, _ = group_tags([TagCount(g.tag, sum(counts[m] for m in g.members), "tags") for g in found], normaliser)
    assert {g.tag for g in again} <= {g.tag for g in found}


def test_a_curated_name_and_an_automatic_one_that_meet_are_one_group(ruled: Ruled) -> None:
    rules = ruled(synonyms={"x-y z": ["foo"]}, keep_whole=["x y z"])
    found, _ = group_tags([TagCount("foo", 2, "t"), TagCount("X-Y Z", 3, "t"), TagCount("xyz", 9, "t")], rules)
    assert len({g.tag for g in found}) == len(found)
    assert sorted(itertools.chain.from_iterable(g.members for g in found)) == ["X-Y Z", "foo", "xyz"]
