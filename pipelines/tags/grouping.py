"""Tags that mean one thing become one group (MSD500's step 5), named by its most common member."""

from __future__ import annotations

import gc
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa

from pipelines.tags.normalise import SPELLING, Normalised, Normaliser, plain_words
from pipelines.tags.spelling import misspelt_keys, misspelt_words
from pipelines.words import tidy, words_of
from schemas.reasons import Reason

_CATEGORY_OF_SOURCE = {
    "genre": "genre",
    "style": "style",
    "instrument": "instrument",
    "mood/theme": "mood",
    "mood": "mood",
    "theme": "theme",
    "vocal": "vocal",
}
UNKNOWN_CATEGORY = "other"
# A text that somebody wrote instead of a tag; patterns are not let loose on it.
_LONGEST = 200
# By its number of words, how many words that only bind others make it a sentence.
_SENTENCES = {6: 3, 9: 2}
_SHORTEST_SENTENCE = min(_SENTENCES)
_GROUP = re.compile(r"(?<!\\)\((?!\?)")
_IN_BRACKETS = re.compile(r"\[[^\]]*\(")
_REFERS_BACK = re.compile(r"(?<!\\)\\([1-9])")


class TagCount(NamedTuple):
    """One tag as typed, on how many tracks it is, and where most of them have it from."""

    raw_tag: str
    n_tracks: int
    source: str


class TagGroup(NamedTuple):
    """One tag of the vocabulary.

    Attributes:
        tag: its name.
        category: its class in the taxonomy.
        by_rule: whether neither a curated line nor the source's own taxonomy said so.
        members: tags as typed, most common first.
        joined_by: for each member the rule that joined it: as_typed, case, accents, punctuation, joined, and,
            decade, word, order, prefix, suffix, plural, synonym, spelling, or released.
        parent: the name of the group above it in the source's hierarchy.
    """

    tag: str
    category: str
    by_rule: bool
    members: tuple[str, ...]
    joined_by: tuple[str, ...]
    parent: str | None = None


class _Member(NamedTuple):
    typed: TagCount
    form: Normalised
    misspelt: bool


_Groups = dict[str, list[_Member]]


def group_tags(
    counts: Iterable[TagCount],
    normaliser: Normaliser,
    taxonomy: pa.Table | None = None,
    classifier: Normaliser | None = None,
) -> tuple[list[TagGroup], dict[str, tuple[Reason, str]]]:
    """Form the groups. The order of `counts` decides nothing.

    Args:
        taxonomy: what the source says of its tags, in the schema of `schemas.tables.TAXONOMY`.
        classifier: whose lists and shapes say what class a tag is of where the source does not, for a normaliser
            that leaves tags as they are; by default the normaliser's own, which know better than the source.

    Returns:
        the groups in the order of their names, and for each tag that is not about the music why.
    """
    with _uncollected():
        return _group_tags(counts, normaliser, taxonomy, classifier)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looks for cycles: none is made, and hundreds of thousands of groups are much to look through."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _group_tags(
    counts: Iterable[TagCount], normaliser: Normaliser, taxonomy: pa.Table | None, classifier: Normaliser | None
) -> tuple[list[TagGroup], dict[str, tuple[Reason, str]]]:
    dropped: dict[str, tuple[Reason, str]] = {}
    members = []
    not_musical = _NotMusical(normaliser)
    for count in sorted(counts, key=lambda c: (-c.n_tracks, c.raw_tag)):
        form = normaliser(count.raw_tag)
        rule = None if form.key in normaliser.categories else not_musical.rule(count.raw_tag, form)
        if rule is not None:
            dropped[count.raw_tag] = (Reason.TAG_NOT_MUSICAL, rule)
        else:
            members.append(_Member(count, form, False))
    by_key = _grouped(members, normaliser)
    for key, line in normaliser.not_musical.items():
        for member in by_key.pop(key, ()):
            dropped[member.typed.raw_tag] = (Reason.TAG_NOT_MUSICAL, line)
    said = _Taxonomy(taxonomy)
    classes = _Classes(normaliser, said, classifier)
    groups = [_group(key, listed, normaliser, classes) for key, listed in by_key.items()]
    return _with_parents(_named_apart(groups), said, normaliser), dropped


def _grouped(members: list[_Member], normaliser: Normaliser) -> _Groups:
    by_key: _Groups = defaultdict(list)
    if normaliser.rules.identity or normaliser.rules.style == "released":
        for member in members:
            by_key[member.form.key].append(member)
        return by_key
    weights: dict[str, int] = defaultdict(int)
    for member in members:
        for word in set(member.form.words.split()):
            weights[word] += member.typed.n_tracks
    corrections = misspelt_words(weights, normaliser)
    wrong_words = frozenset(corrections)
    for member in members:
        words = member.form.words.split()
        if not wrong_words.isdisjoint(words):
            right, key = normaliser.words_and_key(" ".join([corrections.get(word, word) for word in words]))
            member = _Member(member.typed, Normalised(member.form.shown, right, key), True)
        by_key[member.form.key].append(member)
    totals = {k: (listed[0].form.words, sum(m.typed.n_tracks for m in listed)) for k, listed in by_key.items()}
    for wrong, right in misspelt_keys(totals, weights, normaliser).items():
        by_key[right].extend(member._replace(misspelt=True) for member in by_key.pop(wrong))
    return by_key


def _any_of(patterns: list[str]) -> Callable[[str], re.Match[str] | None] | None:
    """Whether a text matches one of the patterns: one for speed, that keeps only the groups it refers to."""
    joined, before = [], 0
    for pattern in sorted(patterns, key=lambda p: _REFERS_BACK.search(p) is None):
        if _REFERS_BACK.search(pattern):
            joined.append(_REFERS_BACK.sub(lambda found: f"(?:\\{int(found[1]) + before})", pattern))  # noqa: B023
            before += re.compile(pattern).groups
        else:
            joined.append(_GROUP.sub("(?:", pattern) if not _IN_BRACKETS.search(pattern) else pattern)
    return re.compile("|".join(f"(?:{pattern})" for pattern in joined)).fullmatch if joined else None


class _NotMusical:
    """The rule by which a tag says nothing of the music, by what it looks like."""

    def __init__(self, normaliser: Normaliser) -> None:
        rules = normaliser.rules
        self._released = frozenset(rules.not_musical_tags) if rules.style == "released" else frozenset()
        self._words = frozenset(
            word for entry in rules.not_musical_words for word in plain_words(tidy(entry)).split()
        )
        self._named = normaliser.not_musical
        self._patterns = rules.not_musical_patterns
        self._binding = frozenset(rules.sentence_words)
        self._any = _any_of([pattern.pattern for pattern in self._patterns])

    def rule(self, raw: str, form: Normalised) -> str | None:
        """The line that names the tag, if one does."""
        shown, words = form.shown, form.words
        if not shown:
            return "nothing to see"
        if self._released and raw.lower() in self._released:
            return raw.lower()
        if form.key in self._named:
            # It waits for its misspellings, and leaves with them after grouping.
            return None
        tokens = words.split()
        if not self._words.isdisjoint(tokens):
            return next(word for word in tokens if word in self._words)
        if self._any is None:
            return None
        if len(shown) > _LONGEST:
            return f"more than {_LONGEST} characters"
        if self._is_sentence(tokens):
            return "a sentence"
        text = words
        if not self._any(text):
            text = shown
            if text == words or words_of(text) == words or not self._any(text):
                return None
        return next(f"/{p.pattern}/" for p in self._patterns if p.fullmatch(text))

    def _is_sentence(self, tokens: list[str]) -> bool:
        if len(tokens) < _SHORTEST_SENTENCE:
            return False
        binding = sum(token in self._binding for token in tokens)
        return any(len(tokens) >= least and binding >= number for least, number in _SENTENCES.items())


class _Taxonomy:
    """What the source says of its tags."""

    def __init__(self, table: pa.Table | None) -> None:
        names = ("raw_tag", "category", "parent")
        columns = [table.column(name).to_pylist() for name in names] if table is not None else [[], [], []]
        rows = list(zip(*columns, strict=True))
        self.categories: Mapping[str, str] = {raw: category for raw, category, _ in rows if category}
        self.parents: Mapping[str, str] = {raw: parent for raw, _, parent in rows if parent}


class _Classes:
    """The class of a group: by a list, by what the source says of its tags, or by the shape of its words."""

    def __init__(self, normaliser: Normaliser, said: _Taxonomy, classifier: Normaliser | None) -> None:
        self._normaliser, self._said, self._classifier = normaliser, said, classifier
        rules = (classifier or normaliser).rules
        shapes = rules.shape_patterns
        self._named = rules.named
        self._categories = {f"n{n}": category for n, (category, _) in enumerate(shapes)}
        joined = [_GROUP.sub("(?:", p.pattern) for _, p in shapes]
        self._any = re.compile("|".join(f"(?P<n{n}>{pattern})" for n, pattern in enumerate(joined)))

    def of(self, key: str, members: list[_Member]) -> tuple[str, bool]:
        """The class, and whether it is by the shape of the words."""
        stated, words = self._normaliser.categories.get(key), members[0].form.words
        if stated is None:
            stated = self._by_source(members)
        if stated is None and self._classifier is not None:
            form = self._classifier(members[0].typed.raw_tag)
            stated, words = self._classifier.categories.get(form.key), form.words
        if stated is not None:
            return self._named.get(stated, stated), False
        found = self._any.fullmatch(words) if self._categories else None
        shape = UNKNOWN_CATEGORY if found is None else self._categories[str(found.lastgroup)]
        return self._named.get(shape, shape), True

    def _by_source(self, members: list[_Member]) -> str | None:
        if self._said.categories:
            for member in members:
                if (stated := self._said.categories.get(member.typed.raw_tag)) is not None:
                    return stated
        return _CATEGORY_OF_SOURCE.get(members[0].typed.source)


def _group(key: str, members: list[_Member], normaliser: Normaliser, classes: _Classes) -> TagGroup:
    if len(members) > 1:
        members = sorted(members, key=lambda m: (-m.typed.n_tracks, m.typed.raw_tag))
    name = normaliser.name_of(key) or _commonest(members)
    category, by_rule = classes.of(key, members)
    return TagGroup(
        name,
        category,
        by_rule,
        tuple([member.typed.raw_tag for member in members]),
        tuple([SPELLING if m.misspelt else normaliser.joined_by(m.typed.raw_tag, name) for m in members]),
    )


def _commonest(members: list[_Member]) -> str:
    """What most tracks show, best of all in a form that is spelt right and has only its words."""
    if len(members) == 1:
        return members[0].form.shown
    shown: dict[tuple[bool, bool, str], int] = defaultdict(int)
    for member in members:
        form = member.form
        shown[member.misspelt, form.shown != form.words, form.shown] += member.typed.n_tracks
    return min(shown, key=lambda form: (-shown[form], form))[2]


def _with_parents(groups: list[TagGroup], said: _Taxonomy, normaliser: Normaliser) -> list[TagGroup]:
    """The raw tag above a member becomes the name of its group."""
    if not said.parents:
        return groups
    names = {raw: group.tag for group in groups for raw in group.members}
    by_key = {normaliser(group.tag).key: group.tag for group in groups}
    placed = []
    for group in groups:
        above = next((said.parents[raw] for raw in group.members if raw in said.parents), None)
        if above is not None:
            above = names.get(above) or by_key.get(normaliser(above).key, above)
        placed.append(group._replace(parent=above if above != group.tag else None))
    return placed


def _named_apart(groups: list[TagGroup]) -> list[TagGroup]:
    """Order by name. Groups of one name are one: a curated name may meet an automatic one."""
    merged: dict[str, TagGroup] = {}
    for group in sorted(groups, key=lambda g: (g.tag, g.members)):
        other = merged.get(group.tag)
        if other is None:
            merged[group.tag] = group
        else:
            merged[group.tag] = other._replace(
                members=other.members + group.members, joined_by=other.joined_by + group.joined_by
            )
    return list(merged.values())
