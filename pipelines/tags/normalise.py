"""One tag as typed to the words it means (MSD500's step 4), and to the key that its group shares (step 5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from pipelines.tags.rules import TagRules
from pipelines.words import tidy, words_of

# The twenties are those of the last century, as people tag them; this century's keep it.
_DECADE = re.compile(r"^(?:19)?([2-9]0)\s?s$|^20([01]0)\s?s$")
_AND = re.compile(r"(?<=[^\s&+])\s*[&+]++\s*(?=\S)|\s+'?n'?\s+|'n'")
_SHORTEST_PLURAL = 4


@dataclass(frozen=True)
class Normalised:
    """A tag on its way into a group.

    Attributes:
        shown: lower case, tidied, else as typed; groups are named by the most common of these.
        words: the tag without punctuation, irrelevant words and accents.
        key: equal for tags of one group before spelling is looked at.
        rule: what changed it last: as_typed, case, punctuation, suffix, plural, synonym.
    """

    shown: str
    words: str
    key: str
    rule: str


def plain_words(text: str) -> str:
    """Words without punctuation and accents; `&` and `'n'` become `and`, decades lose their century.

    Args:
        text: as `tidy` gives it.
    """
    decade = _DECADE.match(text.replace("'", ""))
    if decade:
        return f"{decade[1] or decade[2]}s"
    return words_of(_AND.sub(" and ", text))


class Normaliser:
    """Applies one set of rules. A pure function of the tag."""

    def __init__(self, rules: TagRules) -> None:
        self.rules = rules
        self._keep_whole = {plain_words(tidy(entry)) for entry in rules.keep_whole}
        self._never_singular = {plain_words(tidy(entry)) for entry in rules.never_singular}

    @cached_property
    def _synonyms(self) -> dict[str, tuple[str, str]]:
        """From the key of every variant to (key of its name, name)."""
        table: dict[str, tuple[str, str]] = {}
        for name, variants in self.rules.synonyms.items():
            key = self._joined(self._singular(plain_words(tidy(name))))
            for variant in (name, *variants):
                words = plain_words(tidy(variant))
                table[self._joined(words)] = (key, name)
                table[self._joined(self._singular(words))] = (key, name)
        return table

    @cached_property
    def categories(self) -> dict[str, str]:
        """From a group's key to its curated category."""
        pairs = ((self(tag).key, category) for category, tags in self.rules.categories.items() for tag in tags)
        table: dict[str, str] = {}
        for key, category in pairs:
            table.setdefault(key, category)
        return table

    @cached_property
    def distinct_keys(self) -> dict[str, frozenset[int]]:
        """From a key to the lines of `distinct` that it stands in; two keys of one line are never joined."""
        lines: dict[str, set[int]] = {}
        for number, line in enumerate(self.rules.distinct):
            for tag in line:
                lines.setdefault(self(tag).key, set()).add(number)
        return {key: frozenset(numbers) for key, numbers in lines.items()}

    def name_of(self, key: str) -> str | None:
        """The name that the rules give to a group, if they do."""
        return self._names.get(key)

    @cached_property
    def _names(self) -> dict[str, str]:
        return dict(self._synonyms.values())

    def __call__(self, raw: str) -> Normalised:
        if self.rules.identity:
            return Normalised(raw, raw, raw, "as_typed")
        shown = tidy(raw)
        rule = "as_typed" if shown == raw else "case"
        words = whole = plain_words(shown)
        if words != shown:
            rule = "punctuation"
        stripped = self._stripped(words)
        if stripped != words:
            words, rule = stripped, "suffix"
        single = self._singular(words)
        key = self._joined(single)
        if single != words:
            rule = "plural"
        # The whole first: a curated `cradle song` is no `cradle`.
        forms = (whole, self._singular(whole), words, single)
        found = next((self._synonyms[k] for k in map(self._joined, forms) if k in self._synonyms), None)
        if found is not None and found[0] != key:
            key, rule = found[0], "synonym"
        # A tag of signs only ("!!!") is its own group.
        return Normalised(shown, words or shown, key or shown, rule)

    def _stripped(self, words: str) -> str:
        """Cut irrelevant first and last words while at least one other word is left."""
        while words not in self._keep_whole:
            first, _, after = words.partition(" ")
            before, _, last = words.rpartition(" ")
            if after and first in self.rules.prefixes and after not in self.rules.suffixes:
                words = after
            elif before and last in self.rules.suffixes:
                words = before
            else:
                break
        return words

    def _singular(self, words: str) -> str:
        """The singular of the last word; digits are never touched."""
        before, space, last = words.rpartition(" ")
        if words in self._never_singular or last in self._never_singular or len(last) < _SHORTEST_PLURAL:
            return words
        if any(c.isdigit() for c in last) or not last.endswith("s") or last.endswith(("ss", "us", "is")):
            return words
        if last.endswith("ies") and len(last) > 4:
            return f"{before}{space}{last[:-3]}y"
        if last.endswith(("ches", "shes", "xes", "sses", "tzes")):
            return f"{before}{space}{last[:-2]}"
        return f"{before}{space}{last[:-1]}"

    @staticmethod
    def _joined(words: str) -> str:
        return words.replace(" ", "")
