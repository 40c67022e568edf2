"""A published text encoder, by hub id or local folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from schemas.errors import UsageError
from schemas.manifest import Section
from train.models.texts import Made, Words
from train.models.texts.transformer import TextEncoder, body_of, portable, without_pooler


class Settings(Section):
    """The recipe's section `model.text` for kind: pretrained."""

    kind: Literal["pretrained"] = "pretrained"
    name: str = Field(default="bert-base-uncased", description="a hub id or a local folder")


def new(settings: Settings, _: Words, embedding: int) -> Made:
    """The published weights behind a new projection.

    Raises:
        UsageError: they cannot be loaded.
    """
    loaded = load_pretrained(settings.name)
    return Made(TextEncoder(loaded.body, embedding), loaded.tokenizer, loaded.config)


def again(config: dict[str, Any], embedding: int) -> nn.Module:
    """The encoder of a run, its weights still to be loaded."""
    return TextEncoder(body_of(config), embedding)


@dataclass(frozen=True)
class Pretrained:
    """A published text encoder: its weights' module, its configuration, its tokenizer."""

    body: PreTrainedModel
    config: dict[str, Any]
    tokenizer: Tokenizer


def load_pretrained(name: str) -> Pretrained:
    """Load a text encoder by hub id or local path.

    Raises:
        UsageError: it is not there, cannot be reached, or has no fast tokenizer.
    """
    way_out = (
        "; the hub may be out of reach: download the model where it is not, and give its folder by "
        "--set model.text.name=PATH"
    )
    if not Path(name).exists() and name.startswith((".", "/", "~")):
        raise UsageError(f"model.text.name: no folder {name}{way_out}")
    try:
        config = AutoConfig.from_pretrained(name)
        settings = portable(config.to_diff_dict(), config.model_type)
        body = AutoModel.from_pretrained(name, dtype=torch.float32, **without_pooler(settings))
        backend = AutoTokenizer.from_pretrained(name, use_fast=True).backend_tokenizer
    except (OSError, ValueError, AttributeError, ImportError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"model.text.name: cannot load {name!r} ({reason}){way_out}") from error
    return Pretrained(body, settings, Tokenizer.from_str(backend.to_str()))
