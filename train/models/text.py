"""Text encoders: a transformer's CLS token, layer norm, a linear projection (TTMR 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, PreTrainedModel

from schemas.errors import UsageError


class TextEncoder(nn.Module):
    """Token ids to embeddings, through any encoder of transformers."""

    def __init__(self, body: PreTrainedModel, embedding: int) -> None:
        super().__init__()
        self.body = body
        width = int(body.config.hidden_size)
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, embedding)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (N, length) twice to (N, embedding), not yet of unit length."""
        hidden = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        embedded: Tensor = self.project(self.norm(hidden[:, 0]))
        return embedded


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


def portable(config: dict[str, Any], model_type: str) -> dict[str, Any]:
    """A configuration without what names a machine or a library's version."""
    dropped = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    return {**{k: v for k, v in config.items() if k not in dropped}, "model_type": model_type}


def body_of(config: dict[str, Any]) -> PreTrainedModel:
    """A body of random weights after its configuration."""
    settings = dict(config)
    model: PreTrainedModel = AutoModel.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.for_model(settings.pop("model_type"), **settings), **_without_pooler(config)
    )
    return model


def _without_pooler(config: dict[str, Any]) -> dict[str, Any]:
    # BERT's pooler sits on the CLS token and is not used: as a parameter without gradient it would stall DDP.
    return {"add_pooling_layer": False} if config["model_type"] in {"bert", "roberta", "xlm-roberta"} else {}


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
        body = AutoModel.from_pretrained(name, dtype=torch.float32, **_without_pooler(settings))
        backend = AutoTokenizer.from_pretrained(name, use_fast=True).backend_tokenizer
    except (OSError, ValueError, AttributeError, ImportError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"model.text.name: cannot load {name!r} ({reason}){way_out}") from error
    return Pretrained(body, settings, Tokenizer.from_str(backend.to_str()))
