"""Audio encoders, one module a kind: `Settings` (the recipe's section `model.audio`) and `new`.

A kind is found by its module's name, so adding one is adding one file. An encoder is called with crops as the
shards hold them, (N, frames, …) of any number type, and gives (N, width), `width` being its attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from schemas.manifest import Section
from train.kinds import Kinds


@dataclass(frozen=True)
class Heard:
    """What an audio encoder is made for.

    Attributes:
        frames: of a crop.
        shape: of a clip as the feature's specification has it: (-1, bands), or (-1,) for samples.
        statistics: gives the mean and the standard deviation of the training clips' values; reads them when called.
    """

    frames: int
    shape: tuple[int, ...]
    statistics: Callable[[], tuple[float, float]]


class AudioModule(Protocol):
    """What a module of this package offers."""

    Settings: type[Section]

    def new(self, settings: Any, heard: Heard, /) -> nn.Module:
        """Make an encoder.

        Raises:
            ValueError: it does not fit what is heard; the message names the way out.
        """


_KINDS = Kinds(__name__, key="model.audio", called="audio encoder", usual="ttmr", helpers=())


def known_audios() -> list[str]:
    """The kinds that a recipe may name."""
    return _KINDS.known()


def audio_module(kind: str) -> AudioModule:
    """The module of a kind; see `Kinds.module`."""
    module: AudioModule = _KINDS.module(kind)
    return module


def audio_settings(section: Mapping[str, Any], where: str) -> Section:
    """The recipe's section, validated; see `Kinds.settings`."""
    return _KINDS.settings(section, where)
