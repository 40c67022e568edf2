"""Every variant leads back to its tag: by rule, by closeness, or by the list of synonyms, and to no other."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pytest

from pipelines.synthesis import CATEGORIES, DIRT
from pipelines.synthesis.dirt import FORMS, NOISE_TAGS

SPELLINGS = [(tag, variant) for tag, forms in FORMS.items() for variant in forms.spellings]
MISSPELLINGS = [(tag, variant) for tag, forms in FORMS.items() for variant in forms.misspellings]


def _key(tag: str) -> str:
    """A plain normaliser: compatibility forms, case, `and`, suffixes, punctuation, plural, spaces."""
    text = unicodedata.normalize("NFKC", tag).casefold()
    text = re.sub(r"&|'n'|\band\b", " n ", text)
    text = re.sub(r"[^a-z0-9 ]", lambda match: "" if match.group() == "'" else " ", text)
    words = [word for word in text.split() if word not in ("music", "song", "songs")]
    words = [_singular(word) for word in words]
    return "".join(words)


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("zes"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and not word[0].isdigit() else word


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def test_every_tag_has_variants() -> None:
    assert set(DIRT) == set(CATEGORIES)
    assert all(variants for variants in DIRT.values())


def test_no_variant_means_two_things() -> None:
    counts = Counter([*DIRT, *NOISE_TAGS, *(variant for variants in DIRT.values() for variant in variants)])
    assert [form for form, count in counts.items() if count > 1] == []
    assert len({_key(tag) for tag in DIRT}) == len(DIRT)


@pytest.mark.parametrize(("tag", "variant"), SPELLINGS)
def test_rules_lead_a_spelling_back(tag: str, variant: str) -> None:
    assert variant != tag
    assert [known for known in DIRT if _key(known) == _key(variant)] == [tag]


@pytest.mark.parametrize(("tag", "variant"), MISSPELLINGS)
def test_a_misspelling_is_close_to_its_tag_alone(tag: str, variant: str) -> None:
    assert max(map(len, tag.split())) >= 7
    assert [known for known in DIRT if _distance(known, variant) <= 2] == [tag]


def test_synonyms_need_the_list() -> None:
    keys = {_key(tag) for tag in DIRT}
    for forms in FORMS.values():
        assert not {_key(variant) for variant in forms.synonyms} & keys
