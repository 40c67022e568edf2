"""Tags that mean one thing become one group (MSD500's step 5), named by its most common member."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipelines.tags.normalise import Normalised, Normaliser
from schemas.reasons import Reason

SHORTEST_MISSPELT = 7
TIMES_MORE_COMMON = 5
_CATEGORY_OF_SOURCE = {
    "genre": "genre",
    "instrument": "instrument",
    "mood/theme": "mood",
    "mood": "mood",
    "vocal": "vocal",
}
_DECADE = re.compile(r"^(?:\d\d)?\d0s$")


@dataclass(frozen=True)
class TagCount:
    """One tag as typed, on how many tracks it is, and where most of them have it from."""

    raw_tag: str
    n_tracks: int
    source: str


@dataclass(frozen=True)
class TagGroup:
    """One tag of the vocabulary.

    Attributes:
        tag: its name.
        category: its class in the taxonomy; `by_rule` when no curated line says so.
        members: tags as typed, most common first.
        joined_by: for each member the rule that joined it.
    """

    tag: str
    category: str
    by_rule: bool
    members: tuple[str, ...]
    joined_by: tuple[str, ...]


def group_tags(
    counts: Iterable[TagCount], normaliser: Normaliser
) -> tuple[list[TagGroup], dict[str, tuple[Reason, str]]]:
    """Form the groups.

    Returns:
        the groups in the order of their names, and for each tag that is not about the music why.
    """
    dropped: dict[str, tuple[Reason, str]] = {}
    by_key: dict[str, list[tuple[TagCount, Normalised, str]]] = defaultdict(list)
    for count in sorted(counts, key=lambda c: (-c.n_tracks, c.raw_tag)):
        form = normaliser(count.raw_tag)
        rule = _not_musical(form, normaliser)
        if rule is not None:
            dropped[count.raw_tag] = (Reason.TAG_NOT_MUSICAL, rule)
        else:
            by_key[form.key].append((count, form, form.rule))
    totals = {key: sum(count.n_tracks for count, _, _ in members) for key, members in by_key.items()}
    if not normaliser.rules.identity:
        for wrong, right in misspellings(totals, normaliser).items():
            by_key[right].extend((count, form, "spelling") for count, form, _ in by_key.pop(wrong))
    groups = [_group(key, members, normaliser) for key, members in by_key.items()]
    return _named_apart(groups), dropped


def misspellings(totals: Mapping[str, int], normaliser: Normaliser) -> dict[str, str]:
    """Find keys that are a slip of the pen away from a much more common one.

    Args:
        totals: tracks by key.

    Returns:
        from the misspelt key to the right one. Only long keys without digits, that no curated line names, with
        the same first letter, and at most a fifth as common; two keys of a `distinct` line stay apart.
    """
    # A letter may be missing from the wrong one, not from the right one.
    long = {key for key in totals if len(key) >= SHORTEST_MISSPELT - 1 and not any(c.isdigit() for c in key)}
    index: dict[str, list[str]] = defaultdict(list)
    for key in long:
        for shorter in _one_less(key):
            index[shorter].append(key)
    found = {}
    for wrong in sorted(long):
        if wrong in normaliser.categories or normaliser.name_of(wrong):
            continue
        near = {right for shorter in _one_less(wrong) for right in index[shorter]} - {wrong}
        fitting = [
            right
            for right in near
            if right[0] == wrong[0]
            and len(right) >= SHORTEST_MISSPELT
            and totals[right] >= TIMES_MORE_COMMON * totals[wrong]
            and not _kept_apart(wrong, right, normaliser)
            and _is_one_slip(wrong, right)
        ]
        if fitting:
            found[wrong] = min(fitting, key=lambda right: (-totals[right], right))
    # The right form of a misspelling may itself be one. The more common comes first, so its end is known; and two
    # of a `distinct` line that are each one slip from a third do not meet there.
    joined: dict[str, str] = {}
    groups: dict[str, list[str]] = defaultdict(list)
    for wrong in sorted(found, key=lambda key: (-totals[key], key)):
        right = joined.get(found[wrong], found[wrong])
        if not any(_kept_apart(wrong, other, normaliser) for other in (right, *groups[right])):
            groups[right].append(wrong)
            joined[wrong] = right
    return joined


def _one_less(key: str) -> Iterator[str]:
    """The key, and the key without each of its letters."""
    yield key
    for position in range(1, len(key)):
        yield key[:position] + key[position + 1 :]


def _is_one_slip(first: str, second: str) -> bool:
    """Whether one letter was added, left out, changed or swapped with its neighbour (plural `s` is no slip)."""
    short, long = sorted((first, second), key=len)
    if len(long) - len(short) > 1 or first == second or long == f"{short}s":
        return False
    start = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[:start] + short[start + 1 : start + 2] + short[start : start + 1] + short[start + 2 :]
    return short[start + 1 :] == long[start + 1 :] or swapped == long


def _kept_apart(first: str, second: str, normaliser: Normaliser) -> bool:
    lines = normaliser.distinct_keys
    return bool(lines.get(first, frozenset()) & lines.get(second, frozenset()))


def _not_musical(form: Normalised, normaliser: Normaliser) -> str | None:
    rules = normaliser.rules
    if not form.shown:
        return "nothing to see"
    for text in (form.shown, form.words):
        if text in rules.not_musical_words:
            return text
        for pattern in rules.not_musical_patterns:
            if pattern.fullmatch(text):
                return f"/{pattern.pattern}/"
    return None


def _group(key: str, members: list[tuple[TagCount, Normalised, str]], normaliser: Normaliser) -> TagGroup:
    shown: dict[str, int] = defaultdict(int)
    for count, form, _ in members:
        shown[form.shown] += count.n_tracks
    name = normaliser.name_of(key) or min(shown, key=lambda s: (-shown[s], s))
    ordered = sorted(members, key=lambda m: (-m[0].n_tracks, m[0].raw_tag))
    curated = normaliser.categories.get(key)
    category = curated or _category_by_rule(key, ordered[0][0].source)
    return TagGroup(
        name,
        category,
        curated is None,
        tuple(count.raw_tag for count, _, _ in ordered),
        tuple(rule for _, _, rule in ordered),
    )


def _category_by_rule(key: str, source: str) -> str:
    if _DECADE.match(key):
        return "decade"
    return _CATEGORY_OF_SOURCE.get(source, "other")


def _named_apart(groups: list[TagGroup]) -> list[TagGroup]:
    """Order by name. Groups of one name are one: a curated name may meet an automatic one."""
    merged: dict[str, TagGroup] = {}
    for group in sorted(groups, key=lambda g: (g.tag, g.members)):
        other = merged.get(group.tag)
        if other is None:
            merged[group.tag] = group
        else:
            members = other.members + group.members
            merged[group.tag] = TagGroup(
                other.tag, other.category, other.by_rule, members, other.joined_by + group.joined_by
            )
    return list(merged.values())
