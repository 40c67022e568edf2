"""What a deformation is, and how one is found by its kind. Adding one is adding a module with a `DEFORMATION`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pipelines.discovery import modules_that_define
from schemas.digests import canonical_json, stable_hash
from schemas.errors import UsageError, suggest
from schemas.manifest import validated

Samples = np.ndarray[Any, np.dtype[np.float32]]


class DeformSection(BaseModel):
    """The key `deform` of a feature. `kind` names the module that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(description="pitch_shift, time_stretch, dynamic_range_compression or white_noise")


class DeformSettings(BaseModel):
    """The keys of one deformation; each kind adds its own.

    Attributes:
        seed: of what is drawn; each track has draws of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    seed: int = 0


class Deformation(ABC):
    """One deformation as a manifest asks for it.

    Attributes:
        VERSION: raised when the samples of the same settings change.
        Settings: its keys.
    """

    VERSION: ClassVar[int]
    Settings: ClassVar[type[DeformSettings]]

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    def speed(self) -> float:
        """Seconds of the file that a second of what comes out takes."""
        return 1.0

    @abstractmethod
    def apply(self, samples: Samples, rate: int, draws: np.random.Generator) -> Samples:
        """Deform float32 (samples,): float32 (samples / speed,), finite, at the same rate."""

    def draws(self, track_id: str) -> np.random.Generator:
        """The draws of one track: a function of the settings, the seed among them, and the track's id."""
        return np.random.default_rng(stable_hash(f"{track_id}\x00{canonical_json(self.content())}"))

    def content(self) -> dict[str, Any]:
        """Every setting, for the shard's metadata."""
        return {**self.settings.model_dump(mode="json"), "version": self.VERSION}


def deformation_kinds() -> list[str]:
    """Every kind that a manifest may name: the modules here that define a `DEFORMATION`."""
    return modules_that_define("DEFORMATION", __package__ or "")


def deformation_of(section: DeformSection, key: str) -> Deformation:
    """The deformation that a feature names.

    Raises:
        UsageError: an unknown kind or key; `key` says where it stands.
    """
    if section.kind not in deformation_kinds():
        known = suggest(section.kind, deformation_kinds())
        raise UsageError(f"{key}.kind: no deformation {section.kind!r}{known}")
    module = importlib.import_module(f"{__package__}.{section.kind}")
    cls: type[Deformation] = module.DEFORMATION
    return cls(validated(cls.Settings, section.model_dump(), "deform", key))
