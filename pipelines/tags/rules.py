"""The rules file: what a person decided about tags, read from `manifests/rules/NAME.yaml`."""

from __future__ import annotations

import importlib.resources
import re
from functools import cached_property, lru_cache
from importlib.resources.abc import Traversable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.digests import digest_of
from schemas.errors import UsageError
from schemas.manifest import parse_yaml, validated

NO_RULES = "none"
# Whose taxonomy tags have that are left as the source wrote them.
_TAXONOMY_OF_NONE = "msd500"
_PARTS = "parts"


class TagRules(BaseModel):
    """Every list of the rules file; `manifests/rules/msd500.yaml` says in comments what each is for.

    `identity` rules leave tags as the source wrote them, for datasets whose tags are clean. `released` is the
    normalisation of ECALS as its authors released it (`pipelines.tags.ecals`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: bool = False
    style: Literal["words", "released"] = Field(default="words", description="how a tag becomes its key")
    include: list[str] = Field(default=[], description="files of rules/parts, added to what stands here")
    suffixes: list[str] = []
    prefixes: list[str] = []
    makers: list[str] = []
    labels: list[str] = []
    adjectives: list[str] = []
    never_alone: list[str] = []
    keep_whole: list[str] = []
    never_singular: list[str] = []
    spaced: list[str] = []
    words: dict[str, list[str]] = {}
    misspelt: dict[str, list[str]] = {}
    synonyms: dict[str, list[str]] = {}
    real_words: list[str] = []
    distinct: list[list[str]] = []
    not_musical: list[str] = []
    not_musical_words: list[str] = []
    sentence_words: list[str] = []
    categories: dict[str, list[str]] = {}
    shapes: dict[str, list[str]] = {}
    named: dict[str, str] = {}

    @field_validator("not_musical")
    @classmethod
    def _patterns_compile(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            if _is_pattern(entry):
                _compiled(entry)
        return entries

    @field_validator("shapes")
    @classmethod
    def _shapes_compile(cls, shapes: dict[str, list[str]]) -> dict[str, list[str]]:
        for entries in shapes.values():
            for entry in entries:
                if not _is_pattern(entry):
                    raise ValueError(f"{entry} is no pattern between slashes")
                _compiled(entry)
        return shapes

    @cached_property
    def not_musical_tags(self) -> tuple[str, ...]:
        """The tags that are named outright."""
        return tuple(entry for entry in self.not_musical if not _is_pattern(entry))

    @cached_property
    def not_musical_patterns(self) -> tuple[re.Pattern[str], ...]:
        """The patterns; the whole tag must match."""
        return tuple(re.compile(entry[1:-1]) for entry in self.not_musical if _is_pattern(entry))

    @cached_property
    def shape_patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """(category, pattern) in the order of the file; the first that the whole tag matches decides."""
        return tuple((name, re.compile(e[1:-1])) for name, entries in self.shapes.items() for e in entries)

    def digest(self) -> str:
        """Digest of every rule."""
        return digest_of(self.model_dump(mode="json"))


def _is_pattern(entry: str) -> bool:
    return len(entry) > 2 and entry.startswith("/") and entry.endswith("/")


def _compiled(entry: str) -> re.Pattern[str]:
    try:
        return re.compile(entry[1:-1])
    except re.error as error:
        raise ValueError(f"{entry} is no regular expression: {error}") from error


@lru_cache(maxsize=8)
def load_rules(name: str) -> TagRules:
    """Load rules by name, with the parts that they include.

    Raises:
        UsageError: no such rules or part, or a key or pattern that is wrong.
    """
    if name == NO_RULES:
        return TagRules(identity=True)
    folder = importlib.resources.files("manifests").joinpath("rules")
    file = folder.joinpath(f"{name}.yaml")
    if not file.is_file():
        raise UsageError(
            f"tags.rules: no rules {name!r} in manifests/rules; known: none, {', '.join(_known(folder))}"
        )
    where = f"rules/{name}.yaml"
    content = parse_yaml(file.read_text("utf-8"), where)
    rules = validated(TagRules, content, where)
    for part in rules.include:
        file = folder.joinpath(_PARTS, f"{part}.yaml")
        known = _known(folder.joinpath(_PARTS))
        if part not in known:
            raise UsageError(f"{where}: include: no part {part!r} in rules/parts; known: {', '.join(known)}")
        here = f"rules/{_PARTS}/{part}.yaml"
        added = validated(TagRules, parse_yaml(file.read_text("utf-8"), here), here)
        content = _joined(content, added.model_dump(mode="json", exclude_unset=True))
    return validated(TagRules, content, where)


def load_taxonomy(name: str) -> TagRules:
    """The rules whose lists say what class a tag is of: those of the name, or MSD500's where tags stay as written.

    Raises:
        UsageError: as `load_rules`.
    """
    return load_rules(_TAXONOMY_OF_NONE if name == NO_RULES else name)


def _known(folder: Traversable) -> list[str]:
    return sorted(e.name.removesuffix(".yaml") for e in folder.iterdir() if e.name.endswith(".yaml"))


def _joined(one: Any, other: Any) -> Any:
    """What both say: lists one after the other, mappings key by key; a single value of the first stays."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        return {k: _joined(one[k], other[k]) if k in one and k in other else one.get(k, other.get(k)) for k in keys}
    return one + other if isinstance(one, list) and isinstance(other, list) else one
