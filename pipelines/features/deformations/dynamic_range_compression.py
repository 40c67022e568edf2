"""Dynamic range compressed after the Dolby E settings that the thesis takes from MUDA, as sox's compand does."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from pipelines.features.deformations.base import Deformation, DeformSettings, Samples

# Level in and level out, dB re full scale; straight between the points.
_CURVES: dict[str, tuple[tuple[float, float], ...]] = {
    "film_standard": ((-90, -90), (-70, -64), (-43, -37), (-31, -31), (-21, -21), (0, -20)),
    "film_light": ((-90, -90), (-70, -64), (-53, -47), (-41, -41), (-21, -21), (0, -20)),
    "music_standard": ((-90, -90), (-70, -58), (-55, -43), (-31, -31), (-21, -21), (0, -20)),
    "music_light": ((-90, -90), (-70, -58), (-65, -53), (-41, -41), (-21, -21), (0, -11)),
    "speech": ((-90, -90), (-70, -55), (-50, -35), (-31, -31), (-21, -21), (0, -20)),
}
ATTACK_S, DECAY_S, DELAY_S = 0.1, 0.3, 0.1


class CompressionSettings(DeformSettings):
    """The keys of `dynamic_range_compression`. The thesis takes speech and music_standard."""

    profile: Literal["film_standard", "film_light", "music_standard", "music_light", "speech"]


class Compression(Deformation):
    """The level is followed sample by sample (0.1 s up, 0.3 s down) from full scale; the gain that the curve gives
    for it meets the sound 0.1 s earlier. Beyond the curve's ends its last gain holds."""

    VERSION = 1
    Settings = CompressionSettings
    settings: CompressionSettings

    def apply(self, samples: Samples, rate: int, draws: np.random.Generator) -> Samples:
        delay = round(DELAY_S * rate)
        level = _followed(samples.astype(np.float64), _share(ATTACK_S, rate), _share(DECAY_S, rate))
        ahead = np.concatenate([level[delay:], np.repeat(level[-1:], min(delay, len(level)))])[: len(level)]
        return (samples * gain(self.settings.profile, ahead)).astype(np.float32)


def gain(profile: str, level: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The factor for sound of a level (full scale is 1)."""
    points = np.array(_CURVES[profile])
    decibels = 20 * np.log10(np.maximum(level, 1e-10))
    moved: npt.NDArray[np.float64] = 10 ** (np.interp(decibels, points[:, 0], points[:, 1] - points[:, 0]) / 20)
    return moved


def _share(seconds: float, rate: int) -> float:
    """How much of the way to a new level is gone in one sample."""
    return float(1 - np.exp(-1 / (rate * seconds)))


@njit(cache=True)
def _followed(samples: npt.NDArray[np.float64], attack: float, decay: float) -> npt.NDArray[np.float64]:
    level = np.empty(len(samples))
    current = 1.0
    for n in range(len(samples)):
        away = abs(samples[n]) - current
        current += away * (attack if away > 0 else decay)
        level[n] = current
    return level


DEFORMATION = Compression
