"""Log-mel spectrograms by preset (`shared` recipes: one line a published front end)."""

from __future__ import annotations

import threading
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pipelines.features.base import Feature, FeatureSettings
from pipelines.features.media import MediaRef
from schemas.errors import UsageError, suggest
from schemas.reasons import Reason
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store


class MelPreset(BaseModel):
    """A published mel front end.

    Attributes:
        rate: samples a second. n_fft, hop: samples; Hann window of n_fft, centred.
        mels: bands of the HTK scale from 0 Hz to rate/2, triangles not normalised.
        floor: power below which the logarithm is taken of this instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: int
    n_fft: int
    hop: int
    mels: int
    power: float = 2.0
    scale: Literal["db"] = "db"
    floor: float = 1e-10


PRESETS = {
    # TTMR (Doh et al. 2023): power spectrum; their released code takes the mel of Re(STFT)^2 instead.
    "ttmr": MelPreset(rate=16_000, n_fft=1024, hop=160, mels=128),
}


class LogMelSettings(FeatureSettings):
    """The keys of a `log_mel` feature.

    Attributes:
        preset: a published front end.
        clip_s: seconds kept of each track; null keeps all.
        position: which part is kept.
        min_s: shorter sound is excluded as too_short.
        silence_db: a clip whose peak lies below, re full scale, is excluded as silent.
    """

    preset: str = "ttmr"
    clip_s: float | None = Field(default=30.0, gt=0)
    position: Literal["start", "centre"] = "centre"
    min_s: float = Field(default=3.0, ge=0)
    silence_db: float = Field(default=-70.0, le=0)


class LogMel(Feature):
    """10·log10 of the mel power spectrum, float16, shape (frames, mels), frames = 1 + samples // hop."""

    VERSION = 1
    Settings = LogMelSettings
    settings: LogMelSettings

    def __init__(self, name: str, settings: LogMelSettings) -> None:
        super().__init__(name, settings)
        if settings.preset not in PRESETS:
            known = suggest(settings.preset, PRESETS)
            raise UsageError(f"features.{name}.preset: no preset {settings.preset!r}{known}")
        self._preset = PRESETS[settings.preset]
        self._local = threading.local()

    def spec(self) -> FeatureSpec:
        settings = {
            **self.settings.model_dump(mode="json", exclude={"splits"}),
            **self._preset.model_dump(mode="json"),
        }
        hop_s = self._preset.hop / self._preset.rate
        content = {**settings, "feature_version": self.VERSION, "hop_s": hop_s, "unit": "dB"}
        return FeatureSpec(self.name, "float16", (-1, self._preset.mels), content)

    def prepare(self) -> None:
        import torch
        import torchaudio.transforms  # noqa: F401 - what is missing is missed here, not at the first track

        import pipelines.features.decode  # noqa: F401

        # The threads of a task share the cores; a second level of threads would make results depend on them.
        torch.set_num_threads(1)

    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        from pipelines.features.decode import ExcludedError, Window, decode

        settings = self.settings
        window = Window(settings.clip_s, settings.position, ref.start_s, ref.end_s)
        samples, start_s = decode(media, ref.uri, window, self._preset.rate)
        seconds = len(samples) / self._preset.rate
        if seconds < settings.min_s or len(samples) < self._preset.n_fft:
            raise ExcludedError(
                Reason.TOO_SHORT, f"{ref.uri}: {seconds:.2f} s; at least {settings.min_s:g} s are needed"
            )
        peak = float(np.abs(samples).max())
        if not np.isfinite(peak):
            raise ExcludedError(Reason.NOT_FINITE, f"{ref.uri}: samples that are no numbers")
        if peak < 10 ** (settings.silence_db / 20):
            at = f"from second {start_s:.0f} on" if start_s else "from its start"
            raise ExcludedError(Reason.SILENT, f"{ref.uri}: no sample above {settings.silence_db:g} dB {at}")
        return [Clip(ref.track_id, 0, start_s, self.log_mel(samples))]

    def log_mel(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float16]]:
        """The log-mel of float32 (samples,) at the preset's rate: float16 (frames, mels)."""
        import torch

        transform = self._transform()
        with torch.inference_mode():
            mel = transform(torch.from_numpy(samples))
            decibels = mel.clamp_(min=self._preset.floor).log10_().mul_(10.0)
            out: np.ndarray[Any, np.dtype[np.float16]] = decibels.T.contiguous().half().numpy()
        return out

    def _transform(self) -> Any:
        """torchaudio's transform, one a thread: its buffers are not shared."""
        found = getattr(self._local, "transform", None)
        if found is None:
            from torchaudio.transforms import MelSpectrogram

            preset = self._preset
            found = MelSpectrogram(
                preset.rate, n_fft=preset.n_fft, hop_length=preset.hop, n_mels=preset.mels, power=preset.power
            )
            self._local.transform = found
        return found

    def clip_bytes(self) -> int:
        seconds = self.settings.clip_s or 240.0
        return int((1 + seconds * self._preset.rate // self._preset.hop) * self._preset.mels * 2)


FEATURE = LogMel
