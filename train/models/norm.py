"""Batch normalisation over the batch of all ranks, on any device (PyTorch's own refuses the CPU)."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverRanks(torch.autograd.Function):
    """Sum a tensor over ranks; the gradient is summed likewise, since every rank's loss depends on the sum."""

    @staticmethod
    def forward(_: FunctionCtx, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: FunctionCtx, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation whose training statistics are those of the global batch.

    With one process it is PyTorch's own. With several, an encoder trained on n ranks is the encoder trained on one
    with the same global batch.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, channels, …)."""
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        values = input.float()
        count = values.numel() / values.shape[1]
        rest = [axis for axis in range(values.ndim) if axis != 1]
        sums = torch.cat([values.sum(rest), (values * values).sum(rest), values.new_tensor([count])])
        total: Tensor = _SumOverRanks.apply(sums)  # type: ignore[no-untyped-call]
        channels = values.shape[1]
        n = total[-1]
        mean = total[:channels] / n
        # Computed as E[x²] − E[x]², in one exchange; float32 carries it, the input being standardised.
        variance = (total[channels : 2 * channels] / n - mean * mean).clamp_min(0)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            momentum = self.momentum if self.momentum is not None else 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * n / (n - 1), momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        shape = [1, channels] + [1] * (values.ndim - 2)
        return (values * scale.view(shape) + shift.view(shape)).to(input.dtype)


class GlobalBatchNorm2d(GlobalBatchNorm, nn.BatchNorm2d):
    """Of (N, channels, height, width)."""


class GlobalBatchNorm1d(GlobalBatchNorm, nn.BatchNorm1d):
    """Of (N, channels, length)."""
