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

from train.models.network import Network
from train.models.norm import GlobalBatchNorm2d

Tensors = dict[str, Tensor]


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
    parts = list(_chunks(tensors, crops, tracks, shares_texts=network.shares_texts))
    held: list[list[Tensor]] = [[], []]
    with torch.no_grad(), _running_statistics_kept(network):
        for number, part in enumerate(parts):
            seeded(number)
            for side, rows in zip(held, _embedded(network, part), strict=True):
                side.append(rows)
    audio, text = (torch.cat(side).requires_grad_() for side in held)
    loss = network.loss_between(audio, text, tensors, crops)
    loss.backward()  # type: ignore[no-untyped-call]
    assert audio.grad is not None and text.grad is not None
    of_audio = torch.split(audio.grad, [len(rows) for rows in held[0]])
    of_text = torch.split(text.grad, [len(rows) for rows in held[1]])
    for number, part in enumerate(parts):
        seeded(number)
        again = _embedded(network, part)
        torch.autograd.backward(again, [of_audio[number], of_text[number]])
    _average_over_ranks(network)
    return loss.detach()


def _chunks(tensors: Tensors, crops: int, tracks: int, *, shares_texts: bool) -> Iterator[Tensors]:
    """The audio and texts of a few tracks at a time; shared texts go with the first."""
    count = len(tensors["mels"]) // crops
    for start in range(0, count, tracks):
        chunk = {"mels": tensors["mels"][start * crops : (start + tracks) * crops]}
        texts = slice(0, None if start == 0 else 0) if shares_texts else slice(start, start + tracks)
        yield {**chunk, "ids": tensors["ids"][texts], "mask": tensors["mask"][texts]}


def _embedded(network: Network, part: Tensors) -> tuple[Tensor, Tensor]:
    audio = network.embed_audio(part["mels"])
    if not len(part["ids"]):
        return audio, audio.new_zeros((0, audio.shape[1]), requires_grad=audio.requires_grad)
    return audio, network.embed_text(part["ids"], part["mask"])


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let the first pass leave no trace in the running statistics: the second one counts."""
    norms = [module for module in network.modules() if isinstance(module, GlobalBatchNorm2d)]
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
