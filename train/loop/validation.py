"""A validation loss that is the same number however often, and on however many ranks, it is computed."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor

from train.data.batches import Batcher, Tokens, tokenize
from train.data.order import permutation, rank_items
from train.models.network import Network
from train.objectives.base import Pairs


class Validation:
    """The mean loss over all validation tracks, in fixed batches of near-equal size, with fixed crops and texts.

    Every rank embeds its share, each track once; all embeddings are gathered and the loss is computed from them
    in batches that do not depend on the ranks. Nothing is dropped and nothing repeated.
    """

    def __init__(self, batcher: Batcher, batch_size: int) -> None:
        count = len(batcher.sources)
        order = permutation(count, batcher.seed, 0)
        pieces = np.array_split(order, max(1, -(-count // batch_size)))
        self._batcher, self._batch_size = batcher, batch_size
        self._batches = [
            (torch.from_numpy(piece), batcher.validation_pairs([int(i) for i in piece], number))
            for number, piece in enumerate(pieces)
        ]

    @torch.no_grad()
    def loss(self, fabric: Fabric, network: Network) -> float:
        """The loss of the weights as they are; leaves the network in training mode."""
        network.eval()
        count = len(self._batcher.sources)
        mine = rank_items(count, fabric.global_rank, fabric.world_size)
        width = network.audio.project_out.out_features
        audio = [torch.zeros((0, width), device=fabric.device)]
        text = [torch.zeros((0, width), device=fabric.device)]
        for start in range(0, len(mine), self._batch_size):
            mels, tokens = self._batcher.validation([int(i) for i in mine[start : start + self._batch_size]])
            with fabric.autocast():
                audio.append(network.embed_audio(fabric.to_device(torch.from_numpy(mels))))
                if not network.shares_texts:
                    text.append(self._embedded(fabric, network, tokens))
        whole_audio = _all_rows(torch.cat(audio), count, fabric)
        if network.shares_texts:
            shared = tokenize(self._batcher.tokenizer, self._batcher.vocabulary)
            whole_text = self._embedded(fabric, network, shared)
        else:
            whole_text = _all_rows(torch.cat(text), count, fabric)
        total = 0.0
        for items, known in self._batches:
            chosen = items.to(fabric.device)
            pairs = Pairs(**fabric.to_device({name: torch.from_numpy(array) for name, array in known.items()}))
            texts = whole_text if network.shares_texts else whole_text[chosen]
            total += float(network.loss_of(whole_audio[chosen], texts, pairs)) * len(items)
        network.train()
        return total / count

    @staticmethod
    def _embedded(fabric: Fabric, network: Network, tokens: Tokens) -> Tensor:
        ids, mask = (fabric.to_device(torch.from_numpy(array)) for array in (tokens.ids, tokens.mask))
        return network.embed_text(ids, mask)


def _all_rows(rows: Tensor, count: int, fabric: Fabric) -> Tensor:
    """Rows of all ranks, of which rank r holds items r, r + ranks, …, in the order of the items."""
    ranks = fabric.world_size
    if ranks == 1:
        return rows
    share = -(-count // ranks)
    padded = rows.new_zeros((share, rows.shape[1]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(ranks)]
    dist.all_gather(parts, padded)
    return torch.stack(parts, dim=1).flatten(0, 1)[:count]
