"""Groups of tags, worked out once for the same counts by the same rules: other steps of the tags may change."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate, pairwise

import pyarrow as pa

from pipelines.cache import Remembered, digest_of_table, remembered
from pipelines.tags.grouping import TagCount, TagGroup, group_tags
from pipelines.tags.normalise import Normalised, Normaliser
from pipelines.tags.rules import TagRules
from schemas.digests import digest_of
from schemas.reasons import Reason

_TABLES = ("groups", "members", "dropped")
# All code that groups come from.
_MODULES = (
    ("pipelines", "words"),
    *(("pipelines.tags", name) for name in ("ecals", "grouped", "grouping", "normalise", "rules", "spelling")),
)


@dataclass(frozen=True)
class Grouped:
    """What grouping gives.

    Attributes:
        groups: in the order of their names.
        words: of every member of the first group, then of the next, the words that it means.
        dropped: for each tag that is not about the music why.
    """

    groups: list[TagGroup]
    words: list[str]
    dropped: dict[str, tuple[Reason, str]]


def grouped_tags(
    counts: Sequence[TagCount], rules: TagRules, taxonomy_rules: TagRules, taxonomy: pa.Table, version: int
) -> Grouped:
    """Form the groups, or remember them.

    Args:
        taxonomy_rules: say what class a tag is of where `rules` leave tags as they are.
        taxonomy: what the source says of its tags, in the schema of `schemas.tables.TAXONOMY`.
        version: raised when groups come out otherwise of the same code.
    """
    columns = zip(TagCount._fields, zip(*counts, strict=True), strict=False)
    typed = pa.table({name: pa.array(column) for name, column in columns})
    key = [
        version,
        code_digest(),
        rules.digest(),
        taxonomy_rules.digest(),
        digest_of_table(typed),
        digest_of_table(taxonomy),
    ]
    found = remembered("groups", key, _TABLES, lambda: _formed(counts, rules, taxonomy_rules, taxonomy))
    groups, members, dropped = (
        {column: table.column(column).to_pylist() for column in table.column_names}
        for table in (found.tables[name] for name in _TABLES)
    )
    places = list(pairwise(accumulate(groups.pop("members"), initial=0)))
    raw, joined_by = members["raw_tag"], members["joined_by"]
    return Grouped(
        [
            TagGroup(tag, category, by_rule, tuple(raw[start:end]), tuple(joined_by[start:end]), parent)
            for tag, category, by_rule, parent, (start, end) in zip(*groups.values(), places, strict=True)
        ],
        members["words"],
        {tag: (Reason(reason), detail) for tag, reason, detail in zip(*dropped.values(), strict=True)},
    )


@cache
def code_digest() -> str:
    """Of the source of all modules that form groups, and of what Python knows of letters."""
    texts = [[*where, files(where[0]).joinpath(f"{where[1]}.py").read_text("utf-8")] for where in _MODULES]
    return digest_of([texts, unicodedata.unidata_version])


class _Remembering(Normaliser):
    """Normalises a tag once, however often it is asked for."""

    def __init__(self, rules: TagRules) -> None:
        self._known: dict[str, Normalised] = {}
        super().__init__(rules)

    def __call__(self, raw: str) -> Normalised:
        found = self._known.get(raw)
        if found is None:
            found = self._known[raw] = super().__call__(raw)
        return found


def _formed(
    counts: Sequence[TagCount], rules: TagRules, taxonomy_rules: TagRules, taxonomy: pa.Table
) -> Remembered:
    normaliser = _Remembering(rules)
    classifier = Normaliser(taxonomy_rules) if rules.identity else None
    groups, dropped = group_tags(counts, normaliser, taxonomy, classifier)
    raw = [tag for group in groups for tag in group.members]
    text = pa.string()
    return Remembered(
        {
            "groups": pa.table(
                {
                    "tag": pa.array([group.tag for group in groups], text),
                    "category": pa.array([group.category for group in groups], text),
                    "by_rule": pa.array([group.by_rule for group in groups], pa.bool_()),
                    "parent": pa.array([group.parent for group in groups], text),
                    "members": pa.array([len(group.members) for group in groups], pa.int64()),
                }
            ),
            "members": pa.table(
                {
                    "raw_tag": pa.array(raw, text),
                    "words": pa.array([normaliser(tag).words for tag in raw], text),
                    "joined_by": pa.array([rule for group in groups for rule in group.joined_by], text),
                }
            ),
            "dropped": pa.table(
                {
                    "raw_tag": pa.array(list(dropped), text),
                    "reason": pa.array([str(reason) for reason, _ in dropped.values()], text),
                    "detail": pa.array([detail for _, detail in dropped.values()], text),
                }
            ),
        }
    )
