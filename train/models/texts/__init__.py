"""Text encoders, one module a kind: `Settings` (the recipe's section `model.text`), `new` and `again`.

A kind is found by its module's name, so adding one is adding one file. An encoder is called as `encoder(ids, mask)`
with int64 (N, length) twice and gives (N, embedding); its `unit` says whether these are made unit vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tokenizers import Tokenizer
from torch import nn

from schemas.manifest import Section
from train.kinds import Kinds


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


_KINDS = Kinds(
    __name__, key="model.text", called="text encoder", usual="pretrained", helpers=("transformer", "words")
)


def known_texts() -> list[str]:
    """The kinds that a recipe may name."""
    return _KINDS.known()


def text_module(kind: str) -> TextModule:
    """The module of a kind; see `Kinds.module`."""
    module: TextModule = _KINDS.module(kind)
    return module


def text_settings(section: Mapping[str, Any], where: str) -> Section:
    """The recipe's section, validated; see `Kinds.settings`."""
    return _KINDS.settings(section, where)
