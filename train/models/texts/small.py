"""A small BERT, and a WordPiece vocabulary, from nothing: both learnt on the dataset's own texts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from torch import nn
from transformers import BertConfig

from schemas.manifest import Section
from train.data.vocabulary import train_wordpiece
from train.models.texts import Made, Words
from train.models.texts.transformer import TextEncoder, body_of, portable

LEARNS_ITS_VOCABULARY = True
"""So that of words that no train text had it knows letters at best."""


class Settings(Section):
    """The recipe's section `model.text` for kind: small."""

    kind: Literal["small"] = "small"
    width: int = Field(default=128, ge=1)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    feed_forward: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide over {self.heads} heads")
        return self


def new(settings: Settings, words: Words, embedding: int) -> Made:
    """An encoder of random weights, with a vocabulary of the words."""
    tokenizer = train_wordpiece([*words.said, *words.tags], words.vocabulary)
    config = small_config(
        vocabulary=tokenizer.get_vocab_size(),
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        feed_forward=settings.feed_forward,
        max_length=words.max_length,
        dropout=settings.dropout,
    )
    return Made(again(config, embedding), tokenizer, config)


def again(config: dict[str, Any], embedding: int) -> nn.Module:
    """The encoder of a run, its weights still to be loaded."""
    return TextEncoder(body_of(config), embedding)


def small_config(
    *, vocabulary: int, width: int, layers: int, heads: int, feed_forward: int, max_length: int, dropout: float
) -> dict[str, Any]:
    """The configuration of a small BERT that is trained from nothing."""
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=feed_forward,
        max_position_embeddings=max_length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        type_vocab_size=1,
        # BERT's own 0.02 is for 768 dimensions; at 64 it leaves the CLS token nearly blind to its text.
        initializer_range=width**-0.5,
        pad_token_id=0,
    )
    return portable(config.to_diff_dict(), "bert")
