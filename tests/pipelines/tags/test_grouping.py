from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.grouping import TagCount, TagGroup, group_tags, misspellings
from pipelines.tags.normalise import Normaliser
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
    assert only.joined_by == ("as_typed", "as_typed", "punctuation")


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
        TagCount("wistful", 3, "mood/theme"),
        TagCount("2020s", 3, "tags"),
        TagCount("whatever", 3, "tags"),
    ]
    found = {g.tag: (g.category, g.by_rule) for g in group_tags(listed, normaliser)[0]}
    assert found == {
        "piano": ("instrument", False),
        "glitchcore": ("genre", True),
        "theorbo": ("instrument", True),
        "wistful": ("mood", True),
        "2020s": ("decade", True),
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


def test_clean_tags_are_left_as_they_are() -> None:
    from pipelines.tags.rules import load_rules

    plain = Normaliser(load_rules("none"))
    listed = [TagCount(tag, 5, "genre") for tag in ("Rock", "rock", "rock music", "seen live", "instrumental")]
    found, dropped = group_tags([*listed, TagCount("instrumentall", 1, "genre")], plain)
    assert members(found) == {frozenset([c.raw_tag]) for c in [*listed, TagCount("instrumentall", 1, "")]}
    assert dropped == {}


def one_slip(first: str, second: str) -> bool:
    """By brute force: every string that is one slip away."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    near = {first[:i] + first[i + 1 :] for i in range(len(first))}
    near |= {first[:i] + c + first[i:] for i in range(len(first) + 1) for c in letters}
    near |= {first[:i] + c + first[i + 1 :] for i in range(len(first)) for c in letters}
    near |= {first[:i] + first[i + 1] + first[i] + first[i + 2 :] for i in range(len(first) - 1)}
    return second in near - {first}


@given(
    st.dictionaries(
        st.one_of(
            st.text("abc", min_size=5, max_size=9),
            st.sampled_from(
                ["shoegaze", "shoegaz", "shoegazes", "shoegazzzze", "shoegzae", "hoegaze", "shoegazer"]
            ),
        ),
        st.integers(1, 60),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_misspellings_are_one_slip_from_a_much_commoner_key(ruled: Ruled, totals: dict[str, int]) -> None:
    found = misspellings(totals, ruled())

    def near(wrong: str) -> list[str]:
        return [
            right
            for right in totals
            if len(right) >= 7
            and len(wrong) >= 6
            and right[0] == wrong[0]
            and totals[right] >= 5 * totals[wrong]
            and one_slip(wrong, right)
            and f"{wrong}s" != right
            and f"{right}s" != wrong
        ]

    assert set(found) == {wrong for wrong in totals if near(wrong)}
    for wrong, right in found.items():
        assert right not in found
        step = min(near(wrong), key=lambda key: (-totals[key], key))
        assert right == found.get(step, step)


def test_a_misspelling_joins_with_its_rule(normaliser: Normaliser) -> None:
    found = group(normaliser, psychedelic=50, pyschedelic=3, psychadelic=4, psychedelik=11)
    assert set(found) == {"psychedelic", "psychedelik"}
    assert found["psychedelic"].members == ("psychedelic", "psychadelic", "pyschedelic")
    assert found["psychedelic"].joined_by == ("as_typed", "spelling", "spelling")


def test_curated_words_digits_and_plurals_are_no_misspellings(ruled: Ruled) -> None:
    rules = ruled(
        categories={"genre": ["electronica"]}, synonyms={"harmonics": ["overtones"]}, never_singular=["visuals"]
    )
    assert misspellings({"electronica": 1, "electronicae": 50}, rules) == {}
    assert misspellings({"harmonic": 1, "harmonica": 50}, rules) == {}
    assert misspellings({"visuals": 5, "visual": 50, "visualz": 500}, rules) == {
        "visuals": "visualz",
        "visual": "visualz",
    }
    assert misspellings({"808drums": 50, "909drums": 1, "808drumz": 1}, rules) == {}


def test_two_that_are_distinct_do_not_meet_in_a_third(ruled: Ruled) -> None:
    rules = ruled(distinct=[["organic", "organik"], ["melodia", "melodix"]])
    assert misspellings({"organic": 2, "organik": 1, "organiq": 50}, rules) == {"organic": "organiq"}
    assert misspellings({"organic": 50, "organik": 1}, rules) == {}
    # Kept from the commonest, a slip joins the next that it may.
    totals = {"organik": 1, "organic": 50, "organix": 40}
    assert misspellings(totals, rules) == {"organik": "organix"}
    # melodix -> melodiy -> melodia, by way of a third
    assert misspellings({"melodix": 1, "melodiy": 5, "melodia": 25}, rules) == {"melodiy": "melodia"}


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
