"""Gathering embeddings of all ranks so that the loss on n ranks is the loss on one."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


class _Gather(torch.autograd.Function):
    """Concatenate over ranks. Backwards, a rank gets the gradient that every rank has for its part, summed."""

    @staticmethod
    def forward(ctx: FunctionCtx, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        ctx.part = len(tensor)  # type: ignore[attr-defined]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        part: int = ctx.part  # type: ignore[attr-defined]
        return total[dist.get_rank() * part : (dist.get_rank() + 1) * part]


def gathered(tensor: Tensor) -> Tensor:
    """The rows of all ranks in the order of ranks, (n, D) to (n * ranks, D), with gradients.

    Every rank then computes the whole loss. The gradient that reaches a rank's rows is the sum over ranks, which
    is ranks times the full batch's; DDP's mean over ranks divides by the same number. So every parameter behind
    the embeddings, and every one that all ranks apply to the gathered rows (the temperature), gets exactly the
    gradient of one process that holds the full batch. Needs the same n on every rank.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    joined: Tensor = _Gather.apply(tensor)  # type: ignore[no-untyped-call]
    return joined
