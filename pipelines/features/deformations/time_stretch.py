"""Tempo changed, pitch kept. The thesis takes the rates 2^-½ (slower) and 2^½ (faster)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipelines.features.deformations.base import Deformation, DeformSettings, Samples


class TimeStretchSettings(DeformSettings):
    """The keys of `time_stretch`.

    Attributes:
        rate: how many times as fast.
    """

    rate: float = Field(ge=0.25, le=4)


class TimeStretch(Deformation):
    """By librosa's phase vocoder. A clip keeps its length: more or less of the file goes into it."""

    VERSION = 1
    Settings = TimeStretchSettings
    settings: TimeStretchSettings

    @property
    def speed(self) -> float:
        return self.settings.rate

    def apply(self, samples: Samples, rate: int, draws: np.random.Generator) -> Samples:
        import librosa

        return np.asarray(librosa.effects.time_stretch(samples, rate=self.settings.rate), np.float32)


DEFORMATION = TimeStretch
