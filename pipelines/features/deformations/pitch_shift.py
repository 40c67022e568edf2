"""Pitch moved, length kept. The thesis moves it by -1 and 1 semitones."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipelines.features.deformations.base import Deformation, DeformSettings, Samples


class PitchShiftSettings(DeformSettings):
    """The keys of `pitch_shift`."""

    semitones: float = Field(ge=-24, le=24)


class PitchShift(Deformation):
    """Stretched by librosa's phase vocoder, then resampled by soxr HQ."""

    VERSION = 1
    Settings = PitchShiftSettings
    settings: PitchShiftSettings

    def apply(self, samples: Samples, rate: int, draws: np.random.Generator) -> Samples:
        import librosa

        moved = librosa.effects.pitch_shift(samples, sr=rate, n_steps=self.settings.semitones, res_type="soxr_hq")
        return np.asarray(moved, np.float32)


DEFORMATION = PitchShift
