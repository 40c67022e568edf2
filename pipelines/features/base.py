"""What a feature is, and how one is found by its kind. Adding a kind is adding a module with a `FEATURE`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from pipelines.discovery import modules_that_define
from pipelines.features.media import Media, MediaKind, MediaRef
from pipelines.features.segments import Segments
from schemas.errors import UsageError, suggest
from schemas.manifest import FeatureSection, Name, validated
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store


class FeatureSettings(BaseModel):
    """The keys of one feature in a manifest; each kind adds its own. `splits` says nothing of the tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str
    splits: tuple[Name, ...] = Field(
        default=(),
        description="compute it for the tracks of these splits of the scheme default; () for all",
    )


class Feature(ABC):
    """One feature as a manifest asks for it. Must be cheap to build; `prepare` loads what is heavy.

    A track takes two steps. `clips` reads its file, where a decoder may hang or die. `finish` works on the clips of
    several tracks at once, in the process that holds a model; most features have nothing left to do there.

    Attributes:
        VERSION: raised when the tensors of the same settings change.
        Settings: its keys in the manifest.
        MEDIA: which file of a track `clips` is given.
        BATCH: how many tracks `finish` is given at once, at most.
    """

    VERSION: ClassVar[int]
    Settings: ClassVar[type[FeatureSettings]]
    MEDIA: ClassVar[MediaKind] = "audio"
    BATCH: ClassVar[int] = 1

    def __init__(self, name: str, settings: Any) -> None:
        self.name = name
        self.settings = settings

    def media(self, given: Media, base: str | None) -> Media:
        """Where its files lie: where the dataset's do, unless the feature has a place of its own.

        Args:
            base: the folder that relative paths in the manifest start from.
        """
        return given

    @abstractmethod
    def spec(self) -> FeatureSpec:
        """What the tensors are."""

    @abstractmethod
    def prepare(self) -> None:
        """Called once before `clips` is, in its process or in the one that it is forked from: start no thread."""

    @abstractmethod
    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        """The clips of one track, segment by segment. Called from several threads or processes.

        Raises:
            pipelines.features.decode.ExcludedError: the track cannot have the feature.
        """

    def finish(self, tracks: list[list[Clip]]) -> list[list[Clip]]:
        """Turn what `clips` gave of up to `BATCH` tracks into what is stored, track by track in the same order.

        Called from one thread of the process that writes the shard; what is heavy is loaded here, once a process.
        """
        return tracks

    @abstractmethod
    def clip_bytes(self) -> int:
        """Bytes of a usual clip, for the plan."""

    def kept(self) -> Segments | None:
        """Which seconds of a track are decoded, for estimates; None where nothing is."""
        return None

    def cost_name(self) -> str:
        """What of the measured costs is its own."""
        name: str = self.settings.kind
        return name


def feature_kinds() -> list[str]:
    """Every kind that a manifest may name: the modules here that define a `FEATURE`."""
    return modules_that_define("FEATURE", "pipelines.features")


def feature_of(name: str, section: FeatureSection, where: str) -> Feature:
    """The feature that a manifest names.

    Raises:
        UsageError: an unknown kind or key.
    """
    if section.kind not in feature_kinds():
        known = suggest(section.kind, feature_kinds())
        raise UsageError(f"{where}: features.{name}.kind: no feature {section.kind!r}{known}")
    module = importlib.import_module(f"pipelines.features.{section.kind}")
    cls: type[Feature] = module.FEATURE
    return cls(name, validated(cls.Settings, section.model_dump(), where, f"features.{name}"))
