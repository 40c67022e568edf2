"""A step on a batch that does not fit on a device: embeddings first, gradients later (Gao et al. 2021, GradCache).

A contrastive loss needs all embeddings of the batch at once, but not all activations. So the batch is embedded
chunk by chunk without keeping any; the loss gives each embedding its gradient; then each chunk is embedded again,
and its part of the gradient goes back through it. Every parameter gets the gradient of the whole batch. Batch
normalisation alone sees chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from train.models.network import Network, Tensors
from train.models.norm import GlobalBatchNorm


def accumulated_backward(
    network: Network, tensors: Tensors, crops: int, tracks: int, *, seeded: Callable[[int], None]
) -> Tensor:
    """Leave in every parameter the gradient of the whole batch's loss, averaged over ranks as DDP does.

    Args:
        tensors: as `train.data.batches.Batch` holds them.
        crops: crops a track.
        tracks: how many of this rank's tracks are embedded at once.
        seeded: called with a chunk's number before each of its two passes, so that both drop out the same.

    Returns:
        the loss, detached.
    """
    parts = list(network.chunks(tensors, crops, tracks))
    held = []
    with torch.no_grad(), _running_statistics_kept(network):
        for number, part in enumerate(parts):
            seeded(number)
            held.append(network.sides(part))
    sides = [torch.cat(rows).requires_grad_() for rows in zip(*held, strict=True)]
    loss = network.loss_between(sides, tensors, crops)
    loss.backward()  # type: ignore[no-untyped-call]
    lengths = [[len(rows) for rows in of_side] for of_side in zip(*held, strict=True)]
    gradients = [torch.split(_gradient(side), rows) for side, rows in zip(sides, lengths, strict=True)]
    for number, part in enumerate(parts):
        seeded(number)
        again = zip(network.sides(part), (side[number] for side in gradients), strict=True)
        learning = [(rows, gradient) for rows, gradient in again if rows.requires_grad]
        torch.autograd.backward([rows for rows, _ in learning], [gradient for _, gradient in learning])
    _average_over_ranks(network)
    return loss.detach()


def _gradient(side: Tensor) -> Tensor:
    return torch.zeros_like(side) if side.grad is None else side.grad


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let the first pass leave no trace in the running statistics: the second one counts."""
    norms = [module for module in network.modules() if isinstance(module, GlobalBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked.clone() for norm in norms if norm.num_batches_tracked is not None]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked.copy_(count)


def _average_over_ranks(network: nn.Module) -> None:
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    for parameter in network.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()
