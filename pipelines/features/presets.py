"""The published audio front ends by name. `tracklore presets` lists them.

Where a paper and its released code disagree, the paper is followed, unless the preset says otherwise. Lengths are
in samples at `rate`, frequencies in Hz. A value of a preset is never changed: what comes out differently is a new
version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.features.loudness import LOUDEST
from pipelines.features.segments import Segments
from schemas.errors import UsageError, suggest

CUSTOM = "custom"


class MelPreset(BaseModel):
    """A mel front end: samples -> short-time spectrum -> bands -> scale -> normalisation.

    `db` is `multiplier` * log10(max(x, floor) / ref); `ln` is ln(max(x, floor)); `log1p` is ln(1 + gain * x);
    `linear` is x. Then values below the clip's largest less `top_db` are raised to it, and mean and std are applied
    as (value - mean) / std.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rate: int = Field(ge=1_000, le=384_000, description="samples a second")
    n_fft: int = Field(ge=16, description="length of the transform")
    win_length: int | None = Field(default=None, ge=2, description="length of the window; null for n_fft")
    hop: int = Field(ge=1, description="samples from frame to frame")
    window: Literal["hann", "hamming", "blackman"] = Field(default="hann", description="periodic")
    centred: bool = Field(default=True, description="frame t has its middle at sample t * hop")
    padding: Literal["reflect", "constant"] = Field(
        default="reflect", description="what lies before and behind the clip, when centred; constant is silence"
    )
    part: Literal["modulus", "real"] = Field(default="modulus", description="of the complex spectrum")
    power: float = Field(default=2.0, gt=0, description="to which the part is raised: 2 for power, 1 for magnitude")
    mels: int = Field(ge=1, le=1024, description="bands")
    f_min: float = Field(default=0.0, ge=0, description="lower edge of the lowest band")
    f_max: float | None = Field(default=None, gt=0, description="upper edge of the highest; null for rate / 2")
    mel_scale: Literal["htk", "slaney"] = "htk"
    norm: Literal["none", "slaney"] = Field(
        default="none", description="none: triangles of height 1; slaney: of unit area"
    )
    bank: Literal["exact", "torchaudio"] = Field(
        default="exact", description="torchaudio: triangles in float32, off by up to 1e-5 of their height"
    )
    scale: Literal["db", "ln", "log1p", "linear"] = "db"
    multiplier: float = Field(default=10.0, gt=0, description="of db: 10 for power, 20 for magnitude")
    ref: float = Field(default=1.0, gt=0, description="of db: what is 0 dB")
    floor: float = Field(default=1e-10, gt=0, description="of db and ln: the least value that the logarithm takes")
    gain: float = Field(default=10_000.0, gt=0, description="of log1p")
    top_db: float | None = Field(default=None, gt=0, description="of db: how far below the clip's largest it goes")
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)
    dtype: Literal["float16", "float32"] = "float16"

    @model_validator(mode="after")
    def _possible(self) -> MelPreset:
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is above n_fft {self.n_fft}")
        if not self.f_min < self.highest <= self.rate / 2:
            raise ValueError(f"f_min {self.f_min:g}, f_max {self.highest:g}: they must rise, up to rate / 2")
        if self.scale == "linear" and self.dtype == "float16":
            raise ValueError("power is too wide for float16; write dtype: float32")
        if self.top_db is not None and self.scale != "db":
            raise ValueError("top_db belongs to the scale db")
        return self

    @property
    def highest(self) -> float:
        """The upper edge of the highest band, Hz."""
        return self.rate / 2 if self.f_max is None else self.f_max

    @property
    def unit(self) -> str:
        """Of the values."""
        if (self.mean, self.std) != (0.0, 1.0):
            return "standardised"
        return {"db": "dB", "ln": "ln", "log1p": "ln(1 + gain x)", "linear": "power"}[self.scale]

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that can come out, of samples up to `LOUDEST`."""
        window = self.n_fft if self.win_length is None else self.win_length
        # A band sums at most all bins, each at most the window's sum.
        greatest = (self.n_fft // 2 + 1) * (LOUDEST * window) ** self.power
        ends = np.array([0.0, greatest])
        if self.scale == "db":
            ends = self.multiplier * (np.log10(np.maximum(ends, self.floor)) - np.log10(self.ref))
        elif self.scale == "ln":
            ends = np.log(np.maximum(ends, self.floor))
        elif self.scale == "log1p":
            ends = np.log1p(self.gain * ends)
        # A float32's error more, where the values are moved.
        low, high = ((ends - self.mean) / self.std).tolist()
        slack = 0.0 if (self.mean, self.std, self.ref) == (0.0, 1.0, 1.0) else 1e-3 * max(1.0, abs(low))
        rounded = float(np.array(low, self.dtype))
        return min(low, rounded) - slack, high

    def values(self) -> dict[str, Any]:
        """Every parameter, none left to be looked up."""
        window = self.n_fft if self.win_length is None else self.win_length
        return {**self.model_dump(mode="json"), "win_length": window, "f_max": self.highest}

    def frames(self, samples: int) -> int:
        """How many frames a clip of so many samples has."""
        return 1 + (samples if self.centred else samples - self.n_fft) // self.hop


@dataclass(frozen=True)
class Preset:
    """A published front end.

    Attributes:
        kind: the feature kind that computes it.
        version: raised when a value changes.
        about: one line for a person.
        source: where the values are published.
        segments: what is kept of a track unless the manifest says otherwise.
        mel: of `log_mel`.
    """

    kind: Literal["log_mel", "waveform"]
    version: int
    about: str
    source: str
    segments: Segments
    mel: MelPreset | None = None


_MIDDLE_30 = Segments(span_s=30)

PRESETS: dict[str, Preset] = {
    "ttmr": Preset(
        "log_mel",
        1,
        "text-to-music retrieval: 128 bands every 10 ms; models read 9.91 s of the 30",
        "Doh et al. 2023, 3.2",
        _MIDDLE_30,
        MelPreset(rate=16_000, n_fft=1024, hop=160, mels=128, bank="torchaudio"),
    ),
    "ttmr_as_released": Preset(
        "log_mel",
        1,
        "ttmr by its released code, for its released weights: the mel of Re(STFT)² instead of |STFT|²",
        "Doh et al. 2023, released code; a steady sine varies by 7 dB from frame to frame",
        _MIDDLE_30,
        MelPreset(rate=16_000, n_fft=1024, hop=160, mels=128, part="real", bank="torchaudio"),
    ),
    "mtt": Preset(
        "log_mel",
        1,
        "music tagging transformer, tag-based retrieval: 128 bands every 23 ms; models read 173 frames and more",
        "Won's thesis, 3.5 and 5.2",
        _MIDDLE_30,
        MelPreset(rate=22_050, n_fft=1024, hop=512, mels=128),
    ),
    "musicnn": Preset(
        "log_mel",
        1,
        "MusiCNN: 96 bands every 16 ms; models read 3 s",
        "Won's thesis, 3.3",
        _MIDDLE_30,
        MelPreset(rate=16_000, n_fft=512, hop=256, mels=96),
    ),
    "mulap": Preset(
        "log_mel",
        1,
        "MuLaP: MusiCNN's bands, 80 dB below each segment's largest at most; the first 20 s as six segments of 3 s",
        "Manco et al. 2022, 3.1 and 3.2",
        Segments(position="start", span_s=20, count=6, segment_s=3),
        MelPreset(rate=16_000, n_fft=512, hop=256, mels=96, top_db=80),
    ),
    "short_chunk": Preset(
        "log_mel",
        1,
        "short-chunk CNN, emotion retrieval: 128 bands every 16 ms; models read 3.69 s and 5 s",
        "Won's thesis, 3.3 and 5.3",
        _MIDDLE_30,
        MelPreset(rate=16_000, n_fft=512, hop=256, mels=128),
    ),
    "fcn": Preset(
        "log_mel",
        1,
        "FCN and CRNN at 16 kHz: 96 bands every 16 ms, 1,819 frames of 29.1 s",
        "Won's thesis, 3.3",
        Segments(span_s=29.1),
        MelPreset(rate=16_000, n_fft=512, hop=256, mels=96),
    ),
    "fcn_12k": Preset(
        "log_mel",
        1,
        "FCN as first published, at 12 kHz: 96 bands every 21 ms, 1,366 frames of 29.12 s",
        "Choi et al. 2016",
        Segments(span_s=29.12),
        MelPreset(rate=12_000, n_fft=512, hop=256, mels=96),
    ),
    "jamendo": Preset(
        "log_mel",
        1,
        "MTG-Jamendo's own spectrograms: 12 kHz, 96 bands of unit area, twice the decibels, the whole track",
        "Bogdanov et al. 2019, released code (20 log10 of power, as Choi et al. 2016 do)",
        Segments(),
        MelPreset(
            rate=12_000, n_fft=512, hop=256, mels=96, mel_scale="slaney", norm="slaney", multiplier=20,
            padding="constant",
        ),
    ),
    "melon": Preset(
        "log_mel",
        1,
        "Melon Playlist Dataset's spectrograms: 16 kHz, 48 bands of unit area; models read 256 of 1,300 frames",
        "Ferraro et al. 2021, most of whose published arrays have the 1,876 frames of 30 s",
        _MIDDLE_30,
        MelPreset(rate=16_000, n_fft=512, hop=256, mels=48, mel_scale="slaney", norm="slaney"),
    ),
    "waveform": Preset(
        "waveform",
        1,
        "16-bit samples at 16 kHz: SampleCNN, VCMR; the middle two minutes as eight segments of 15 s",
        "Avramidis et al. 2022, 4.1; models read 49,152, 59,049, 78,732 or 98,415 samples",
        Segments(span_s=120, count=8, segment_s=15),
    ),
}  # fmt: skip


def presets_of(kind: str) -> dict[str, Preset]:
    """The presets that a feature kind computes."""
    return {name: preset for name, preset in PRESETS.items() if preset.kind == kind}


def preset_of(name: str, kind: str, key: str) -> Preset:
    """The preset that a manifest names.

    Raises:
        UsageError: there is none of this name for the kind; `key` says where it stands.
    """
    known = presets_of(kind)
    if name in PRESETS and name not in known:
        raise UsageError(f"{key}: the preset {name!r} is of kind {PRESETS[name].kind}, not {kind}")
    if name not in known:
        raise UsageError(f"{key}: no preset {name!r}{suggest(name, [*known, CUSTOM])}")
    return known[name]
