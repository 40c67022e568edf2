"""White noise added: (1 - alpha) * x + alpha * noise. The thesis takes alpha 0.1 and 0.4."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from pipelines.features.deformations.base import Deformation, DeformSettings, Samples


class WhiteNoiseSettings(DeformSettings):
    """The keys of `white_noise`: one of the two.

    Attributes:
        alpha: share of the noise, of both scaled to a peak of 1 as MUDA does, whose formula this is.
        snr_db: power of the music over the noise's, both as they are.
    """

    alpha: float | None = Field(default=None, gt=0, lt=1)
    snr_db: float | None = Field(default=None, ge=-60, le=120)

    @model_validator(mode="after")
    def _one(self) -> WhiteNoiseSettings:
        if (self.alpha is None) == (self.snr_db is None):
            raise ValueError("give alpha or snr_db")
        return self


class WhiteNoise(Deformation):
    """Gaussian."""

    VERSION = 1
    Settings = WhiteNoiseSettings
    settings: WhiteNoiseSettings

    def apply(self, samples: Samples, rate: int, draws: np.random.Generator) -> Samples:
        noise = draws.standard_normal(len(samples)).astype(np.float32)
        if self.settings.alpha is not None:
            alpha = np.float32(self.settings.alpha)
            return (1 - alpha) * _to_peak(samples) + alpha * _to_peak(noise)
        assert self.settings.snr_db is not None
        power = float(np.mean(np.square(samples, dtype=np.float64)))
        scale = np.sqrt(power / np.mean(np.square(noise, dtype=np.float64)) / 10 ** (self.settings.snr_db / 10))
        return samples + noise * np.float32(scale)


def _to_peak(samples: Samples) -> Samples:
    peak = np.abs(samples).max(initial=0)
    return samples / peak if peak > 0 else samples


DEFORMATION = WhiteNoise
