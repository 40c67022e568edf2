"""TTMR's audio encoder: a convolutional front, a transformer over time, a CLS token.

"Toward Universal Text-to-Music Retrieval" (Doh et al. 2023), section 2.2: the Music Tagging Transformer of Won
et al. (2021) with four residual blocks. Channels, pools, width and depth are free, so the same class is the
published encoder and the small one of the demo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.manifest import Section
from train.models.audios import Heard
from train.models.norm import GlobalBatchNorm2d

Pair = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class Settings(Section):
    """The recipe's section `model.audio` for kind: ttmr."""

    kind: Literal["ttmr"] = "ttmr"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (128, 128, 128, 128)
    pools: Annotated[tuple[Pair, ...], Field(min_length=1)] = ((2, 2), (2, 2), (2, 2), (2, 2))
    input_pool: Pair = Field(default=(1, 1), description="average pooling of the input, (bands, frames)")
    width: int = Field(default=256, ge=1)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=8, ge=1)
    feed_forward: int = Field(default=1024, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if len(self.channels) != len(self.pools):
            raise ValueError(f"{len(self.channels)} channels and {len(self.pools)} pools; give one pool a block")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide over {self.heads} heads")
        return self


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, then max pooling by (frequency, time)."""

    def __init__(self, channels_in: int, channels: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm1 = GlobalBatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = GlobalBatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 3, padding=1, bias=False), GlobalBatchNorm2d(channels)
            )
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels in, bands, frames) to (N, channels, bands / pool, frames / pool)."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        pooled: Tensor = self.pool(F.relu(y + self.shortcut(x)))
        return pooled


class AudioEncoder(nn.Module):
    """Log-mel crops to vectors.

    The input is standardised by two numbers, the mean and standard deviation of the training clips
    (`train.data.statistics`); they are buffers, so they travel with the weights.

    Args:
        frames, bands: of a crop.
        channels: of each residual block.
        pools: of each residual block, (frequency, time).
        input_pool: average pooling of the log-mel itself, (frequency, time); (1, 1) for none.
        width, layers, heads, feed_forward, dropout: of the transformer.
        mean, std: of the training clips.

    Raises:
        ValueError: a crop so short, or bands so few, that pooling leaves nothing.
    """

    def __init__(
        self,
        *,
        frames: int,
        bands: int,
        channels: Sequence[int],
        pools: Sequence[tuple[int, int]],
        input_pool: tuple[int, int],
        width: int,
        layers: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        mean: float,
        std: float,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self.mean: Tensor
        self.std: Tensor
        self.input_pool = nn.AvgPool2d(input_pool) if math.prod(input_pool) > 1 else nn.Identity()
        blocks = []
        channels_in = 1
        height, steps = bands // input_pool[0], frames // input_pool[1]
        for channels_out, pool in zip(channels, pools, strict=True):
            blocks.append(ResidualBlock(channels_in, channels_out, pool))
            channels_in = channels_out
            height, steps = height // pool[0], steps // pool[1]
        if height < 1 or steps < 1:
            raise ValueError(
                f"pooling leaves {height} bands and {steps} steps of {bands} bands and {frames} frames"
            )
        # Channels last is about 1.5 times as fast on CPUs (measured), and what tensor cores want.
        self.front = nn.Sequential(*blocks)
        self.front.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.project_in = nn.Linear(channels_in * height, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(steps + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, feed_forward, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.width = width

    def forward(self, mels: Tensor) -> Tensor:
        """(N, frames, bands) of any float type to (N, width): what the CLS token has become."""
        x = (mels.float() - self.mean) / self.std
        x = self.input_pool(x.transpose(1, 2).unsqueeze(1))
        x = self.front(x)
        x = self.project_in(x.flatten(1, 2).transpose(1, 2))
        x = torch.cat([self.cls.to(x.dtype).expand(len(x), 1, -1), x], dim=1) + self.positions
        whole: Tensor = self.transformer(self.dropout(x))[:, 0]
        return whole


def new(settings: Settings, heard: Heard) -> AudioEncoder:
    """An encoder before training; see `train.models.audios.AudioModule.new`."""
    if len(heard.shape) != 2 or heard.shape[1] < 1:
        raise ValueError(f"hears frames by bands, and the feature is {heard.shape}; set data.feature to a log-mel")
    mean, std = heard.statistics()
    sizes = settings.model_dump(exclude={"kind"})
    try:
        return AudioEncoder(frames=heard.frames, bands=heard.shape[1], mean=mean, std=std, **sizes)
    except ValueError as error:
        raise ValueError(f"{error}; raise data.crop_frames or pool less") from error
