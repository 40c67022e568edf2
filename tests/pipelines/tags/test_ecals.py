"""ECALS' tags: its published vocabulary is what its normalisation leaves as it is."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tags.ecals import released_form
from pipelines.tags.grouping import TagCount, group_tags
from pipelines.tags.normalise import Normaliser
from pipelines.tags.rules import load_rules
from schemas.reasons import Reason

# Of the published vocabulary, in its own spelling.
PUBLISHED = [
    "rocknroll",
    "rock nroll",
    "stagenscreen",
    "praisenworship",
    "rock en espaol",
    "l.a. punk",
    "rnb",
    "synth pop",
    "synthpop",
    "jungle drumbass",
    "80s",
    "avant garde",
    "soft quiet",
    "mythsnlegends",
]
# Two spellings of one thing that are both in it.
COMPETING = [
    {"afro beat", "afrobeat"},
    {"euro dance", "eurodance"},
    {"euro pop", "europop"},
    {"female vocalist", "female vocalists"},
    {"holiday", "holidays"},
    {"kraut rock", "krautrock"},
    {"neo classical", "neoclassical"},
    {"rock en espanol", "rock en espaol"},
    {"rock nroll", "rocknroll"},
    {"skate punk", "skatepunk"},
    {"synth pop", "synthpop"},
]
ABBREVIATED = [
    {"alt country", "alternative country"},
    {"alt rock", "alternative rock"},
    {"prog rock", "progressive rock"},
]


@pytest.fixture(scope="module")
def released() -> Normaliser:
    return Normaliser(load_rules("ecals"))


@pytest.fixture(scope="module")
def merged() -> Normaliser:
    return Normaliser(load_rules("ecals_merged"))


@pytest.fixture(scope="module")
def vocabulary() -> list[str]:
    path = os.environ.get("TRACKLORE_ECALS")
    if path is None:
        pytest.skip("TRACKLORE_ECALS does not name a file of ECALS' 1,054 tags")
    return Path(path).read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Rock & Roll", "rocknroll"),
        ("rock n roll", "rock nroll"),
        ("Rock 'n' Roll", "rock roll"),
        ("R&B", "rnb"),
        ("Pop/Rock", "pop rock"),
        ("Avant-Garde", "avant garde"),
        ("Stage & Screen", "stagenscreen"),
        ("Soft/Quiet", "soft quiet"),
        ("Children's", "childrens"),
        ("Contemporary (Folk)", "contemporary folk"),
        ("Jungle/Drum'n'bass", "jungle drumbass"),
        ("L.A. Punk", "l.a. punk"),
        ("j-pop", "jpop"),
    ],
)
def test_tags_are_written_as_released(typed: str, written: str, released: Normaliser) -> None:
    assert released_form(typed) == written
    assert released(typed).key == written


@given(st.lists(st.sampled_from(["Rock", "n", "'n'", "&", "a", "/", "-", "(", "'", "80s", " ", "é"])).map("".join))
@settings(deadline=None, max_examples=400, derandomize=True)
def test_no_letter_is_lost_and_no_space_is_doubled(typed: str) -> None:
    form = released_form(typed)
    assert form == " ".join(form.split())
    assert form.replace(" ", "") == "".join(
        sign for sign in typed.lower().replace("'n'", "").replace("&", "n") if sign not in "'()/- "
    )


@pytest.mark.parametrize("tag", PUBLISHED)
def test_a_published_tag_is_left_as_it_is(tag: str, released: Normaliser) -> None:
    assert released(tag).key == released(tag).shown == tag


def test_the_published_vocabulary_is_left_as_it_is(vocabulary: list[str], released: Normaliser) -> None:
    assert len(vocabulary) == 1054
    assert [tag for tag in vocabulary if released(tag).key != tag or released_form(tag) != tag] == []
    groups, dropped = group_tags([TagCount(tag, 1, "tags") for tag in vocabulary], released)
    assert ([g.tag for g in groups], dropped) == (sorted(vocabulary), {})


def test_spellings_that_compete_are_one_only_when_merged(released: Normaliser, merged: Normaliser) -> None:
    tags = [*itertools.chain.from_iterable(COMPETING + ABBREVIATED), *PUBLISHED]
    listed = [TagCount(tag, 1, "tags") for tag in sorted(set(tags))]
    assert {g.tag for g in group_tags(listed, released)[0]} == set(tags)
    several = [set(g.members) for g in group_tags(listed, merged)[0] if len(g.members) > 1]
    assert sorted(map(sorted, several)) == sorted(map(sorted, COMPETING + ABBREVIATED))
    assert {frozenset((name, *variants)) for name, variants in merged.rules.synonyms.items()} == {
        frozenset(pair) for pair in COMPETING + ABBREVIATED
    }


def test_of_the_published_vocabulary_nothing_else_competes(vocabulary: list[str], merged: Normaliser) -> None:
    listed = [TagCount(tag, 1, "tags") for tag in vocabulary]
    groups = group_tags(listed, merged)[0]
    assert len(groups) == 1054 - len(COMPETING) - len(ABBREVIATED) == 1040
    left = sorted(g.tag for g in groups)
    # Without spaces and the last letter of a plural no two are the same.
    joined = [tag.replace(" ", "").removesuffix("s") for tag in left if tag not in ("blues", "us")]
    assert sorted(joined) == sorted(set(joined))


@pytest.mark.parametrize("rules", ["ecals", "ecals_merged"])
def test_the_released_blacklist_is_dropped(rules: str) -> None:
    _, dropped = group_tags(
        [TagCount("D-I-V-O-R-C-E", 1, "t"), TagCount("N Metal", 1, "t")], Normaliser(load_rules(rules))
    )
    assert {tag: reason for tag, (reason, _) in dropped.items()} == {
        "D-I-V-O-R-C-E": Reason.TAG_NOT_MUSICAL,
        "N Metal": Reason.TAG_NOT_MUSICAL,
    }
