"""The sound itself as 16-bit samples, for models that read waveforms (SampleCNN, VCMR)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipelines.features.base import Feature
from pipelines.features.media import MediaRef
from pipelines.features.presets import PRESETS
from pipelines.features.segments import Segments
from pipelines.features.sound import Samples, Sound, SoundSettings
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store

RATE = 16_000
FULL_SCALE = 32_767


class WaveformSettings(SoundSettings):
    """The keys of a `waveform` feature; its preset is its kind's only one."""

    preset: Literal["waveform"] = "waveform"


class Waveform(Feature):
    """int16 (samples,) at 16 kHz, mono; the sample is `data` / 32,767, and beyond full scale it is clipped."""

    VERSION = 1
    Settings = WaveformSettings
    settings: WaveformSettings

    def __init__(self, name: str, settings: WaveformSettings) -> None:
        super().__init__(name, settings)
        self._preset = PRESETS[settings.preset]
        self._segments = settings.segments or self._preset.segments
        self._sound = Sound(settings, f"features.{name}", RATE, self._segments)

    def spec(self) -> FeatureSpec:
        content = {
            **self._sound.content(),
            "preset_version": self._preset.version,
            "feature_version": self.VERSION,
            "rate": RATE,
            "hop_s": 1 / RATE,
            "full_scale": FULL_SCALE,
            "unit": "full scale / 32767",
            "range": [-FULL_SCALE, FULL_SCALE],
        }
        return FeatureSpec(self.name, "int16", (-1,), content)

    def prepare(self) -> None:
        import pipelines.features.decode  # noqa: F401 - what is missing is missed here, not at the first track

    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        return [
            Clip(ref.track_id, segment.number, segment.start_s, as_int16(segment.samples))
            for segment in self._sound.segments(media, ref)
        ]

    def kept(self) -> Segments:
        return self._segments

    def clip_bytes(self) -> int:
        count, seconds = self._segments.usual
        return int(count * seconds * RATE * 2)


def as_int16(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """float32 (samples,) of full scale 1 as int16, rounded, clipped where it is beyond."""
    return np.rint(np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(np.int16)


FEATURE = Waveform
