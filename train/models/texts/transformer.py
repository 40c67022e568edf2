"""A transformer's CLS token, layer norm, a linear projection (TTMR 2.2)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel


class TextEncoder(nn.Module):
    """Token ids to embeddings, through any encoder of transformers."""

    unit = True

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


def portable(config: dict[str, Any], model_type: str) -> dict[str, Any]:
    """A configuration without what names a machine or a library's version."""
    dropped = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    return {**{k: v for k, v in config.items() if k not in dropped}, "model_type": model_type}


def body_of(config: dict[str, Any]) -> PreTrainedModel:
    """A body of random weights after its configuration."""
    settings = dict(config)
    model: PreTrainedModel = AutoModel.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.for_model(settings.pop("model_type"), **settings), **without_pooler(config)
    )
    return model


def without_pooler(config: dict[str, Any]) -> dict[str, Any]:
    """What keeps a body from having a pooler."""
    # BERT's pooler sits on the CLS token and is not used: as a parameter without gradient it would stall DDP.
    return {"add_pooling_layer": False} if config["model_type"] in {"bert", "roberta", "xlm-roberta"} else {}
