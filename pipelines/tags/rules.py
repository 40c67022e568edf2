"""The rules file: what a person decided about tags, read from `manifests/rules/NAME.yaml`."""

from __future__ import annotations

import importlib.resources
import re
from functools import cached_property

from pydantic import BaseModel, ConfigDict, field_validator

from schemas.digests import digest_of
from schemas.errors import UsageError
from schemas.manifest import parse_yaml, validated

NO_RULES = "none"


class TagRules(BaseModel):
    """Every list of the rules file; see `manifests/rules/msd500.yaml` for what each is for.

    `identity` rules leave tags as the source wrote them, for datasets whose tags are clean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: bool = False
    suffixes: list[str] = []
    prefixes: list[str] = []
    keep_whole: list[str] = []
    never_singular: list[str] = []
    synonyms: dict[str, list[str]] = {}
    distinct: list[list[str]] = []
    not_musical: list[str] = []
    categories: dict[str, list[str]] = {}

    @field_validator("not_musical")
    @classmethod
    def _patterns_compile(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            if _is_pattern(entry):
                try:
                    re.compile(entry[1:-1])
                except re.error as error:
                    raise ValueError(f"{entry} is no regular expression: {error}") from error
        return entries

    @cached_property
    def not_musical_words(self) -> frozenset[str]:
        """The tags that are named outright."""
        return frozenset(entry for entry in self.not_musical if not _is_pattern(entry))

    @cached_property
    def not_musical_patterns(self) -> list[re.Pattern[str]]:
        """The patterns; the whole tag must match."""
        return [re.compile(entry[1:-1]) for entry in self.not_musical if _is_pattern(entry)]

    def digest(self) -> str:
        """Digest of every rule."""
        return digest_of(self.model_dump(mode="json"))


def _is_pattern(entry: str) -> bool:
    return len(entry) > 2 and entry.startswith("/") and entry.endswith("/")


def load_rules(name: str) -> TagRules:
    """Load rules by name.

    Raises:
        UsageError: no such rules, or a key or pattern that is wrong.
    """
    if name == NO_RULES:
        return TagRules(identity=True)
    folder = importlib.resources.files("manifests").joinpath("rules")
    file = folder.joinpath(f"{name}.yaml")
    if not file.is_file():
        known = sorted(
            entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
        )
        raise UsageError(f"tags.rules: no rules {name!r} in manifests/rules; known: none, {', '.join(known)}")
    where = f"rules/{name}.yaml"
    return validated(TagRules, parse_yaml(file.read_text("utf-8"), where), where)
