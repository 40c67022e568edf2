"""Log-mel spectrograms, by a preset or by parameters of the manifest's own."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.features.base import Feature
from pipelines.features.media import MediaRef
from pipelines.features.mel_bank import mel_bank
from pipelines.features.presets import CUSTOM, MelPreset, preset_of
from pipelines.features.segments import Segments
from pipelines.features.sound import Samples, Sound, SoundSettings
from schemas.errors import UsageError
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store

Spectrogram = np.ndarray[Any, np.dtype[Any]]


class LogMelSettings(SoundSettings):
    """The keys of a `log_mel` feature.

    Attributes:
        preset: a published front end, or `custom`.
        mel: of `custom`, every parameter of the front end.
    """

    preset: str = "ttmr"
    mel: MelPreset | None = None


class LogMel(Feature):
    """The mel spectrogram on the scale of its preset, shape (frames, mels).

    In float32 it is within 1e-3 dB of librosa's in float64 (3e-3 dB for ttmr, whose triangles are torchaudio's),
    where a band has at least a millionth of its frame's power; below, float32's own transform is the limit,
    librosa's as ours. Stored as float16 a value is off by half a step more: at most 0.016 dB below 64 dB, 0.032 dB
    below 128 dB and 0.063 dB below 256 dB, by absolute value.
    """

    VERSION = 1
    Settings = LogMelSettings
    settings: LogMelSettings

    def __init__(self, name: str, settings: LogMelSettings) -> None:
        super().__init__(name, settings)
        self._mel, self._segments, self._version = _chosen(settings, f"features.{name}")
        self._sound = Sound(settings, f"features.{name}", self._mel.rate, self._segments, self._mel.n_fft)
        self._local = threading.local()

    def spec(self) -> FeatureSpec:
        content = {
            **{key: value for key, value in self._sound.content().items() if key != "mel"},
            **self._mel.values(),
            "preset_version": self._version,
            "feature_version": self.VERSION,
            "hop_s": self._mel.hop / self._mel.rate,
            "unit": self._mel.unit,
            "range": list(self._mel.range),
        }
        return FeatureSpec(self.name, self._mel.dtype, (-1, self._mel.mels), content)

    def prepare(self) -> None:
        import torch
        import torchaudio.transforms  # noqa: F401 - what is missing is missed here, not at the first track

        import pipelines.features.decode  # noqa: F401

        # The threads of a task share the cores; a second level of threads would make results depend on them.
        torch.set_num_threads(1)

    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        found = self._sound.segments(media, ref)
        return [Clip(ref.track_id, part.number, part.start_s, self.log_mel(part.samples)) for part in found]

    def log_mel(self, samples: Samples) -> Spectrogram:
        """The spectrogram of float32 (samples,) at the preset's rate: (frames, mels) of the preset's dtype."""
        import torch

        mel = self._mel
        spectrum, bands = self._transforms()
        with torch.inference_mode():
            values = spectrum(torch.from_numpy(samples))
            if mel.part == "real":
                values = values.real.abs().pow_(mel.power)
            # Frames before bins: the layout of torchaudio's own MelScale, and its bits.
            values = torch.matmul(values.transpose(-1, -2), bands).transpose(-1, -2)
            if mel.scale == "db":
                values = values.clamp_(min=mel.floor).log10_().mul_(mel.multiplier)
                if mel.ref != 1.0:
                    values = values.sub_(mel.multiplier * float(np.log10(mel.ref)))
                if mel.top_db is not None:
                    values = values.clamp_(min=float(values.max()) - mel.top_db)
            elif mel.scale == "ln":
                values = values.clamp_(min=mel.floor).log_()
            elif mel.scale == "log1p":
                values = values.mul_(mel.gain).log1p_()
            if mel.mean or mel.std != 1.0:
                values = values.sub_(mel.mean).div_(mel.std)
            values = values.T.contiguous()
            out: Spectrogram = (values.half() if mel.dtype == "float16" else values).numpy()
        return out

    def _transforms(self) -> Any:
        """torchaudio's spectrogram, one a thread, for its buffers are not shared; and the bank."""
        found = getattr(self._local, "transforms", None)
        if found is None:
            import torch
            from torchaudio.transforms import Spectrogram

            mel = self._mel
            windows = {
                "hann": torch.hann_window,
                "hamming": torch.hamming_window,
                "blackman": torch.blackman_window,
            }
            spectrum = Spectrogram(
                mel.n_fft,
                win_length=mel.win_length,
                hop_length=mel.hop,
                window_fn=windows[mel.window],
                power=None if mel.part == "real" else mel.power,
                center=mel.centred,
                pad_mode=mel.padding,
            )
            bands = torch.from_numpy(self._bank())
            found = self._local.transforms = (spectrum, bands)
        return found

    def _bank(self) -> npt.NDArray[np.float32]:
        """float32 (n_fft // 2 + 1, mels)."""
        mel = self._mel
        if mel.bank == "torchaudio":
            from torchaudio.functional import melscale_fbanks

            norm = None if mel.norm == "none" else mel.norm
            bank: npt.NDArray[np.float32] = melscale_fbanks(
                mel.n_fft // 2 + 1, mel.f_min, mel.highest, mel.mels, mel.rate, norm, mel.mel_scale
            ).numpy()
            return bank
        exact = mel_bank(
            mel.rate, mel.n_fft, mel.mels, mel.f_min, mel.highest, mel.mel_scale, unit_area=mel.norm == "slaney"
        )
        return exact.astype(np.float32)

    def kept(self) -> Segments:
        return self._segments

    def cost_name(self) -> str:
        return f"{self.settings.kind}:{self.settings.preset}"

    def clip_bytes(self) -> int:
        count, seconds = self._segments.usual
        frames = self._mel.frames(round(seconds * self._mel.rate))
        return count * frames * self._mel.mels * int(np.dtype(self._mel.dtype).itemsize)


def _chosen(settings: LogMelSettings, key: str) -> tuple[MelPreset, Segments, int]:
    """The front end, the segments and the preset's version that the keys ask for."""
    if settings.preset == CUSTOM:
        if settings.mel is None:
            raise UsageError(f"{key}.mel: is required with the preset custom, such as mel: {{rate: 16000, …}}")
        return settings.mel, settings.segments or Segments(), 0
    preset = preset_of(settings.preset, "log_mel", f"{key}.preset")
    if settings.mel is not None:
        raise UsageError(f"{key}.mel: the preset {settings.preset!r} says it all; write preset: custom")
    assert preset.mel is not None
    return preset.mel, settings.segments or preset.segments, preset.version


FEATURE = LogMel
