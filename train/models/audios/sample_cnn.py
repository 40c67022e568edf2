"""SampleCNN: convolutions over the samples themselves, nothing computed before (Lee et al. 2017; VCMR 4.3).

A first convolution strides by its own length; blocks of convolution and max pooling then shrink the sound until one
step is left. So the input's length is a product: 59,049 = 3·3⁹ samples as first published, and by another first
convolution 78,732 = 4·3⁹ or 98,415 = 5·3⁹. With pools of 4 and seven blocks it is 49,152 = 3·4⁷.

The parameters of the encoder at 98,415 samples are 2,435,072: the released configuration, whose channels these are.
VCMR's text says 2.6 M and names neither channels nor what it counts; with the projector it would be 2.76 M.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from schemas.manifest import Section
from train.models.audios import Heard
from train.models.norm import GlobalBatchNorm1d

FULL_SCALE = 32_767
_POOLS_OF_3 = (128, 128, 256, 256, 256, 256, 256, 512, 512)
# VCMR does not say which channels its shortest input has: these double at the same shares of the depth.
_POOLS_OF_4 = (128, 128, 256, 256, 256, 512, 512)
LENGTHS = {
    49_152: (3, 4, _POOLS_OF_4),
    59_049: (3, 3, _POOLS_OF_3),
    78_732: (4, 3, _POOLS_OF_3),
    98_415: (5, 3, _POOLS_OF_3),
}
"""Samples of the published inputs (VCMR 5.3), and for each: first convolution, pools, channels of the blocks."""


class Settings(Section):
    """The recipe's section `model.audio` for kind: sample_cnn.

    `first`, `pool` and `channels` follow from the crop where it has a published length; others need all three.
    """

    kind: Literal["sample_cnn"] = "sample_cnn"
    first: int | None = Field(default=None, ge=1, description="length and stride of the first convolution")
    pool: int | None = Field(default=None, ge=2, description="of each block after it")
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = Field(
        default=None, description="of each block after the first, which has as many as the second"
    )
    width: int = Field(default=512, ge=1, description="dimensions of the result")


class SampleCNN(nn.Module):
    """Samples to features.

    Attributes:
        width: dimensions of the result.
        samples: of the input.
        blocks: the first convolution, the blocks with pools, and the last; VCMR 4.3 freezes four of them.
    """

    def __init__(self, samples: int, first: int, pool: int, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.width, self.samples = width, samples
        rows = [_block(1, channels[0], first, stride=first)]
        rows += [
            _block(before, after, 3, pool=pool)
            for before, after in zip((channels[0], *channels[:-1]), channels, strict=True)
        ]
        self.blocks = nn.ModuleList([*rows, _block(channels[-1], width, 1)])

    def forward(self, waves: Tensor) -> Tensor:
        """(N, samples), int16 or a float of full scale 1, to (N, width)."""
        x = scaled(waves).unsqueeze(1)
        for block in self.blocks:
            x = block(x)
        return x.squeeze(2)


def scaled(waves: Tensor) -> Tensor:
    """Samples as float of full scale 1, whether they are int16 or that already."""
    return waves if waves.is_floating_point() else waves.float() / FULL_SCALE


def _block(channels_in: int, channels: int, kernel: int, *, stride: int = 1, pool: int = 1) -> nn.Sequential:
    padding = kernel // 2 if stride == 1 else 0
    rows: list[nn.Module] = [
        nn.Conv1d(channels_in, channels, kernel, stride, padding),
        GlobalBatchNorm1d(channels),
        nn.ReLU(),
    ]
    return nn.Sequential(*rows, *([nn.MaxPool1d(pool)] if pool > 1 else []))


def new(settings: Settings, heard: Heard) -> SampleCNN:
    """See `train.models.audios.AudioModule.new`."""
    if heard.shape != (-1,):
        raise ValueError("sample_cnn hears samples, not frames by bands; name a feature of kind: waveform")
    samples = heard.frames
    usual = LENGTHS.get(samples)
    if usual is None and None in (settings.first, settings.pool, settings.channels):
        known = ", ".join(f"{length:,}" for length in LENGTHS)
        raise ValueError(
            f"crops of {samples:,} samples need first, pool and channels; published lengths are {known}"
        )
    first, pool, channels = usual or (1, 2, ())
    first, pool = settings.first or first, settings.pool or pool
    channels = settings.channels or channels
    reached = first * pool ** len(channels)
    if reached != samples:
        told = f"a first convolution of {first} and {len(channels)} pools of {pool}"
        raise ValueError(f"{told} take {reached:,} samples, and crops have {samples:,}")
    return SampleCNN(samples, first, pool, channels, settings.width)
