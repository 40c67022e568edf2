"""What a feature is, and how one is found by its kind. Adding a kind is adding a module with a `FEATURE`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from pipelines.discovery import modules_that_define
from schemas.errors import UsageError, suggest
from schemas.manifest import FeatureSection, validated
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store


class FeatureSettings(BaseModel):
    """The keys of one feature in a manifest; each kind adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str


@dataclass(frozen=True)
class AudioRef:
    """The sound of a track: the file, and the part of it that is the track."""

    track_id: str
    uri: str
    start_s: float = 0.0
    end_s: float | None = None


class Feature(ABC):
    """One feature as a manifest asks for it. Must be cheap to build; `prepare` loads what is heavy.

    Attributes:
        VERSION: raised when the tensors of the same settings change.
        Settings: its keys in the manifest.
    """

    VERSION: ClassVar[int]
    Settings: ClassVar[type[FeatureSettings]]

    def __init__(self, name: str, settings: Any) -> None:
        self.name = name
        self.settings = settings

    @abstractmethod
    def spec(self) -> FeatureSpec:
        """What the tensors are."""

    @abstractmethod
    def prepare(self) -> None:
        """Called once a process, before `clips`."""

    @abstractmethod
    def clips(self, audio: Store, ref: AudioRef) -> list[Clip]:
        """The clips of one track, segment by segment. Called from several threads.

        Raises:
            pipelines.features.decode.ExcludedError: the track cannot have the feature.
        """

    @abstractmethod
    def clip_bytes(self) -> int:
        """Bytes of a usual clip, for the plan."""


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
