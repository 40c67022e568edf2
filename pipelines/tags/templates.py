"""Sentence templates: a track's tags as one English sentence, from `manifests/templates/NAME.yaml`."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import BaseModel, ConfigDict, field_validator

from pipelines.words import tidy, words_of
from schemas.digests import digest_of, stable_hash
from schemas.errors import UsageError
from schemas.manifest import parse_yaml, validated

OTHER = "other"
_TOKEN = re.compile(r"\{(?P<slot>[^{}\[\]]*)\}|(?P<article>\b[aA]\(n\))|(?P<bracket>[\[\]])|(?P<stray>[{}])")
_WORD = re.compile(r"[^\s,.:;!?()\"“”]+")


@dataclass(frozen=True)
class _Slot:
    categories: tuple[str, ...]


@dataclass(frozen=True)
class _Article:
    capital: bool


@dataclass(frozen=True)
class _Part:
    """Pieces in a row; an optional part is left out when none of its slots has a tag."""

    pieces: tuple[str | _Slot | _Article, ...]
    optional: bool

    def slots(self) -> Iterator[_Slot]:
        return (piece for piece in self.pieces if isinstance(piece, _Slot))


@dataclass(frozen=True)
class Template:
    """One sentence with slots; see `manifests/templates/default.yaml` for how it is written."""

    parts: tuple[_Part, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            ValueError: a bracket that is not closed, a category named twice, no {other}, or an optional part
                without a slot.
        """
        parts: list[_Part] = []
        pieces: list[str | _Slot | _Article] = []
        inside, end = False, 0
        for match in _TOKEN.finditer(text):
            if match.start() > end:
                pieces.append(text[end : match.start()])
            end = match.end()
            if match["stray"]:
                raise ValueError(f"{text!r}: {match['stray']!r} at {match.start()} has no partner")
            if match["bracket"]:
                if (match["bracket"] == "[") == inside:
                    raise ValueError(f"{text!r}: {match['bracket']!r} at {match.start()} has no partner")
                parts.append(_Part(tuple(pieces), inside))
                pieces, inside = [], not inside
            elif match["article"]:
                pieces.append(_Article(match["article"][0] == "A"))
            else:
                pieces.append(_Slot(tuple(name.strip() for name in match["slot"].split("+"))))
        if inside:
            raise ValueError(f"{text!r}: a '[' is not closed")
        parts.append(_Part((*pieces, *([text[end:]] if end < len(text) else [])), False))
        template = cls(tuple(part for part in parts if part.pieces))
        named = [name for slot in template._slots() for name in slot.categories]
        for name in named:
            if not name:
                raise ValueError(f"{text!r}: a slot without a category")
            if named.count(name) > 1:
                raise ValueError(f"{text!r}: {name!r} stands twice")
        if OTHER not in named:
            raise ValueError(f"{text!r}: has no {{{OTHER}}}, so tags of other categories would be lost")
        if any(part.optional and not any(part.slots()) for part in template.parts):
            raise ValueError(f"{text!r}: a part in [ ] without a slot would never be there")
        return template

    def _slots(self) -> Iterator[_Slot]:
        return (slot for part in self.parts for slot in part.slots())

    @cached_property
    def named(self) -> frozenset[str]:
        """Every category that it has a place for, `other` aside."""
        return frozenset(name for slot in self._slots() for name in slot.categories if name != OTHER)

    @cached_property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """For each slot outside of optional parts the categories of which one must be there."""
        return tuple(slot.categories for part in self.parts if not part.optional for slot in part.slots())

    def fits(self, categories: Iterable[str]) -> bool:
        """Whether a track with tags of these categories fills every slot that is needed."""
        if not self.needs:
            return True
        placed = {name if name in self.named else OTHER for name in categories}
        return all(placed.intersection(names) for names in self.needs)

    def fill(self, tags: Iterable[tuple[str, str]], articles: Articles) -> str:
        """The sentence of (tag, category) pairs, which stand in each list in the order given."""
        by_category: dict[str, list[str]] = {}
        for tag, category in tags:
            by_category.setdefault(category if category in self.named else OTHER, []).append(tag)
        text: list[str | _Article] = []
        for part in self.parts:
            if part.optional and not any(name in by_category for slot in part.slots() for name in slot.categories):
                continue
            for piece in part.pieces:
                if isinstance(piece, _Slot):
                    listed = [tag for name in piece.categories for tag in by_category.get(name, ())]
                    text.append(_listed(listed))
                else:
                    text.append(piece)
        # From the end, for an article goes by what follows it.
        sentence = ""
        for piece in reversed(text):
            sentence = (piece if isinstance(piece, str) else articles.before(sentence, piece.capital)) + sentence
        return sentence


def _listed(tags: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(tags[:-1]), *tags[-1:])))


@dataclass(frozen=True)
class Articles:
    """Which article a word asks for: `an` before a vowel, unless a person's list knows better.

    Attributes:
        a, an: words in lower case; one that ends in `*` stands for every word that starts so. The longest wins.
        known: the answers given so far: few words follow an article, and often.
    """

    a: tuple[str, ...] = ()
    an: tuple[str, ...] = ()
    known: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def before(self, text: str, capital: bool) -> str:
        """`a` or `an` for the first word of `text`."""
        found = _WORD.search(text)
        word = found[0] if found else ""
        if word not in self.known:
            self.known[word] = self._of(tidy(word).strip("'‘’«»<>-–—#&*/_"))
        return self.known[word].capitalize() if capital else self.known[word]

    def _of(self, word: str) -> str:
        best, chosen = -1, ""
        for article, entries in (("a", self.a), ("an", self.an)):
            for entry in entries:
                stem = entry.removesuffix("*")
                if (word == entry or (stem != entry and word.startswith(stem))) and len(stem) > best:
                    best, chosen = len(stem), article
        if chosen:
            return chosen
        plain = words_of(word)
        return "an" if plain[:1] and plain[0] in "aeiou" else "a"


class TemplateRules(BaseModel):
    """A file of `manifests/templates`; its comments say what each list is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentences: list[str]
    read_as: dict[str, str] = {}
    with_the: list[str] = []
    a: list[str] = []
    an: list[str] = []

    @field_validator("sentences")
    @classmethod
    def _serve_every_track(cls, sentences: list[str]) -> list[str]:
        parsed = [Template.parse(text) for text in sentences]
        if not any(not template.needs for template in parsed):
            raise ValueError("at least one sentence must need no category: put its slots in [ ]")
        return sentences

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """The sentences, parsed."""
        return tuple(Template.parse(text) for text in self.sentences)

    @cached_property
    def articles(self) -> Articles:
        """The article rules."""
        return Articles(tuple(self.a), tuple(self.an))

    def sentence(self, track_id: str, tags: Iterable[str], categories: Mapping[str, str], seed: int) -> str:
        """The sentence of one track; a pure function of its id, its set of tags and the seed.

        Args:
            tags: at least one.
            categories: by tag; a tag without one is `other`.
        """
        ordered = sorted(set(tags))
        ordered.sort(key=lambda tag: stable_hash(f"{track_id}\x00{tag}", seed))
        pairs = [(tag, self.read_as.get(tag) or categories.get(tag) or OTHER) for tag in ordered]
        present = {category for _, category in pairs}
        fitting = [template for template in self.templates if template.fits(present)]
        chosen = fitting[stable_hash(f"template\x00{track_id}", seed) % len(fitting)]
        known = frozenset(self.with_the)
        written = [
            (f"the {tag}" if category == "location" and tag in known else tag, category) for tag, category in pairs
        ]
        return chosen.fill(written, self.articles)

    def digest(self) -> str:
        """Digest of every rule."""
        return digest_of(self.model_dump(mode="json"))


def load_templates(name: str) -> TemplateRules:
    """Load templates by name.

    Raises:
        UsageError: no such file, or a key or sentence that is wrong.
    """
    return validated(TemplateRules, *readable("templates", name, "captions.templates"))


def readable(kind: str, name: str, key: str) -> tuple[object, str]:
    """The content of `manifests/KIND/NAME.yaml`, and how errors name it.

    Raises:
        UsageError: no such file; `key` and the names that there are.
    """
    folder = importlib.resources.files("manifests").joinpath(kind)
    file = folder.joinpath(f"{name}.yaml")
    if not file.is_file():
        known = sorted(
            entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
        )
        raise UsageError(f"{key}: no {name!r} in manifests/{kind}; known: {', '.join(known)}")
    where = f"{kind}/{name}.yaml"
    return parse_yaml(file.read_text("utf-8"), where), where
