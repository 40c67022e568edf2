"""A validation loss that is the same number however often, and on however many ranks, it is computed."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor

from train.data.batches import Batches
from train.data.order import Indices, permutation, rank_items
from train.models.network import Network
from train.tasks.base import Material


class Validation:
    """The mean loss over all validation tracks, in fixed batches of near-equal size, with fixed crops and texts.

    Every rank embeds its share, each track once; all embeddings are gathered and the loss is computed from them
    in batches that do not depend on the ranks. Nothing is dropped and nothing repeated.
    """

    def __init__(self, material: Material, batches: Batches, batch_size: int) -> None:
        self._count = len(material.valid_tracks)
        order = permutation(self._count, batches.seed, 0)
        pieces = np.array_split(order, max(1, -(-self._count // batch_size)))
        self._material, self._batches, self._batch_size = material, batches, batch_size
        self._pieces = [
            (torch.from_numpy(piece), batches.validation_known([int(i) for i in piece], number))
            for number, piece in enumerate(pieces)
        ]

    @torch.no_grad()
    def figures(self, fabric: Fabric, network: Network) -> dict[str, float]:
        """The `loss` of the weights as they are, and the task's figures; leaves the network in training mode."""
        network.eval()
        sides = self._sides(fabric, network)
        total = 0.0
        for items, known in self._pieces:
            chosen = items.to(fabric.device)
            tensors = fabric.to_device({name: torch.from_numpy(array) for name, array in known.items()})
            rows = [side if number in network.shared else side[chosen] for number, side in enumerate(sides)]
            total += float(network.loss_of(rows, tensors)) * len(items)
        figures = self._material.figures(sides)
        network.train()
        return {"loss": total / self._count, **figures}

    def _sides(self, fabric: Fabric, network: Network) -> list[Tensor]:
        """Every valid track's row of each side, in order; the same on every rank."""
        mine = rank_items(self._count, fabric.global_rank, fabric.world_size)
        # A rank without tracks embeds the first one, to know how wide its no rows are.
        starts = range(0, max(1, len(mine)), self._batch_size)
        parts = [self._embedded(fabric, network, mine[at : at + self._batch_size]) for at in starts]
        sides = []
        for number, rows in enumerate(zip(*parts, strict=True)):
            shared = number in network.shared
            sides.append(rows[0] if shared else _all_rows(torch.cat(rows), self._count, fabric))
        return sides

    def _embedded(self, fabric: Fabric, network: Network, items: Indices) -> tuple[Tensor, ...]:
        arrays = self._batches.validation([int(item) for item in items] or [0])
        with fabric.autocast():
            sides = network.sides(
                fabric.to_device({name: torch.from_numpy(array) for name, array in arrays.items()})
            )
        if len(items):
            return sides
        return tuple(side if number in network.shared else side[:0] for number, side in enumerate(sides))


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
