from __future__ import annotations

import itertools
from typing import Any

import pytest

from pipelines.tags.normalise import Normaliser
from pipelines.tags.rules import TagRules, load_rules
from pipelines.words import tidy
from schemas.errors import UsageError
from schemas.manifest import validated

MSD500 = {"genre", "mood", "instrument", "activity", "location", "language", "decade"}
ECALS = {"genre", "style", "instrument", "vocal", "mood", "theme", "culture", "decade"}


def test_every_synonym_of_the_shipped_rules_leads_to_its_name(normaliser: Normaliser) -> None:
    for name, variants in normaliser.rules.synonyms.items():
        assert normaliser.name_of(normaliser(name).key) == name
        for variant in variants:
            assert normaliser(variant).key == normaliser(name).key, (name, variant)


def test_no_word_of_the_shipped_rules_is_a_synonym_of_two(normaliser: Normaliser) -> None:
    listed = [tidy(v) for name, variants in normaliser.rules.synonyms.items() for v in (name, *variants)]
    assert sorted(listed) == sorted(set(listed))


def test_what_the_shipped_rules_keep_apart_has_keys_apart(normaliser: Normaliser) -> None:
    for line in normaliser.rules.distinct:
        for first, second in itertools.combinations(dict.fromkeys(line), 2):
            assert normaliser(first).key != normaliser(second).key, (first, second)


@pytest.mark.parametrize(("name", "known"), [("msd500", MSD500), ("ecals", ECALS), ("ecals_merged", ECALS)])
def test_the_shipped_taxonomies_have_known_classes_and_no_tag_in_two(name: str, known: set[str]) -> None:
    ruled = Normaliser(load_rules(name))
    classes: dict[str, set[str]] = {}
    for category, tags in ruled.rules.categories.items():
        for tag in tags:
            classes.setdefault(ruled(tag).key, set()).add(category)
    assert {*ruled.rules.categories, *ruled.rules.shapes, *ruled.rules.named.values()} <= known
    assert {key: found for key, found in classes.items() if len(found) > 1} == {}


def test_no_tag_of_the_shipped_taxonomy_is_called_not_musical(normaliser: Normaliser) -> None:
    rules = normaliser.rules
    for tag in itertools.chain.from_iterable(rules.categories.values()):
        assert not set(tag.split()) & set(rules.not_musical_words), tag
        assert not any(pattern.fullmatch(tag) for pattern in rules.not_musical_patterns), tag


def test_rules_that_cannot_be_are_named() -> None:
    with pytest.raises(UsageError, match=r"tags\.rules: no rules 'msd' in manifests/rules; known: none, .*msd500"):
        load_rules("msd")
    with pytest.raises(UsageError, match=r"r\.yaml: not_musical: /\(/ is no regular expression"):
        validated(TagRules, {"not_musical": ["/(/"]}, "r.yaml")
    with pytest.raises(UsageError, match=r"r\.yaml: sufixes: unknown key; did you mean 'suffixes'\?"):
        validated(TagRules, {"sufixes": []}, "r.yaml")


def test_every_rule_is_in_the_digest() -> None:
    rules = load_rules("msd500")
    digests = {rules.digest(), load_rules("none").digest(), TagRules().digest()}
    for name in TagRules.model_fields:
        value = getattr(rules, name)
        empty: dict[type, Any] = {bool: True, str: "released", list: [], dict: {}}
        changed = empty[type(value)] if value or isinstance(value, bool) else {"activity": "theme"}
        digests.add(rules.model_copy(update={name: changed}).digest())
    assert len(digests) == 3 + len(TagRules.model_fields)
    assert load_rules("msd500").digest() == rules.digest()
