"""Text encoders, one module a kind: `Settings` (the recipe's section `model.text`), `new` and `again`.

A kind is found by its module's name, so adding one is adding one file. An encoder is called as `encoder(ids, mask)`
with int64 (N, length) twice and gives (N, embedding); its `unit` says whether these are made unit vectors.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tokenizers import Tokenizer
from torch import nn

from schemas.errors import UsageError, suggest
from schemas.manifest import Section, validated

_HELPERS = frozenset({"transformer", "words"})


@dataclass(frozen=True)
class Words:
    """What a text encoder is made for.

    Attributes:
        said: the texts of the train tracks.
        tags: their tags, each once, sorted.
        vocabulary: at most so many entries, where a vocabulary is learnt.
        max_length: tokens of a text.
    """

    said: tuple[str, ...]
    tags: tuple[str, ...]
    vocabulary: int
    max_length: int


@dataclass(frozen=True)
class Made:
    """A new text encoder, its tokenizer, and the JSON from which `again` makes it."""

    encoder: nn.Module
    tokenizer: Tokenizer
    config: dict[str, Any]


class TextModule(Protocol):
    """What a module of this package offers."""

    Settings: type[Section]

    def new(self, settings: Any, words: Words, embedding: int, /) -> Made:
        """Make an encoder before training."""

    def again(self, config: dict[str, Any], embedding: int, /) -> nn.Module:
        """Make the encoder of a run, its weights still to be loaded."""


def known_texts() -> list[str]:
    """The kinds that a recipe may name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _HELPERS)


def text_module(kind: str) -> TextModule:
    """The module of a kind.

    Raises:
        UsageError: there is none of that name.
    """
    if kind not in known_texts():
        raise UsageError(f"model.text.kind: no text encoder {kind!r}{suggest(kind, known_texts())}")
    module: Any = importlib.import_module(f"{__name__}.{kind}")
    return module  # type: ignore[no-any-return]


def text_settings(section: Mapping[str, Any], where: str) -> Section:
    """Validate the recipe's section by the kind's own model.

    Raises:
        UsageError: an unknown kind or key, or a value out of bounds.
    """
    module = text_module(str(section.get("kind", "pretrained")))
    return validated(module.Settings, dict(section), where, "model.text")
