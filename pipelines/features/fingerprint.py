"""A fingerprint of the sound, by which the same recording is known under another id, codec, level or length.

Haitsma and Kalker's sub-fingerprints (ISMIR 2002) with a longer window and a wider step: of 33 bands from 300 to
2,000 Hz, whether the difference of neighbours rises or falls over 0.37 s. That is 32 bits every 93 ms, 2.3 kB for
60 seconds; by the slope that `benchmarks/fingerprint.py` measures, a million tracks are 2.5 GB and are matched in
under an hour of one core. Chromaprint's prints have fewer errors (medians of 0.01 to 0.05 where these have 0.02 to
0.07), but its library is in no wheel; of 24 real tracks coded anew in five ways both find all but one of 13 s.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from pipelines.features.base import Feature
from pipelines.features.media import MediaRef
from pipelines.features.segments import Segments
from pipelines.features.sound import Samples, Sound, SoundSettings
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store

RATE = 5_512
WINDOW, HOP, STEP = 4_096, 512, 4
HOP_S = HOP / RATE
BITS = 32
F_MIN, F_MAX = 300.0, 2_000.0
LONGEST_S = 1_800


class FingerprintSettings(SoundSettings):
    """The keys of a `fingerprint` feature. What turns fingerprints into recordings says nothing of the tensors.

    Attributes:
        segments: what is listened to; one segment.
        max_error: two tracks are one recording when at most this share of the bits differs where both sound. Of
            one recording coded anew 0.02 to 0.16 differ, of two recordings 0.48 and more, of one played 1 % faster
            0.2 to 0.4 (`benchmarks/fingerprint.py`).
        min_overlap_s: seconds that both must have in common.
    """

    segments: Segments = Segments(span_s=60)
    min_s: float = Field(default=10.0, ge=2)
    max_error: float = Field(default=0.25, gt=0, lt=0.45)
    min_overlap_s: float = Field(default=8.0, ge=2)

    @field_validator("segments")
    @classmethod
    def _one(cls, segments: Segments) -> Segments:
        if segments.segment_s is not None:
            raise ValueError("a fingerprint is of one segment; leave segment_s out")
        if segments.span_s is None or segments.span_s > LONGEST_S:
            raise ValueError(f"a fingerprint is of at most {LONGEST_S} s; give span_s")
        return segments

    @field_validator("deform")
    @classmethod
    def _as_it_is(cls, deform: object) -> None:
        if deform is not None:
            raise ValueError("a fingerprint is of the sound as it is; leave deform out")

    @field_validator("splits")
    @classmethod
    def _all(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if splits:
            raise ValueError("splits are made from fingerprints, so that they are needed of all tracks")
        return splits


class Fingerprint(Feature):
    """uint32 (frames,), one clip a track."""

    VERSION = 2
    Settings = FingerprintSettings
    settings: FingerprintSettings

    def __init__(self, name: str, settings: FingerprintSettings) -> None:
        super().__init__(name, settings)
        self._sound = Sound(settings, f"features.{name}", RATE, settings.segments, WINDOW + STEP * HOP)

    def spec(self) -> FeatureSpec:
        beside = ("max_error", "min_overlap_s")
        content = {
            **{key: value for key, value in self._sound.content().items() if key not in beside},
            "feature_version": self.VERSION,
            "rate": RATE,
            "n_fft": WINDOW,
            "hop": HOP,
            "hop_s": HOP_S,
            "step": STEP,
            "f_min": F_MIN,
            "f_max": F_MAX,
            "unit": "bits",
        }
        return FeatureSpec(self.name, "uint32", (-1,), content)

    def prepare(self) -> None:
        import torch

        import pipelines.features.decode  # noqa: F401 - what is missing is missed here, not at the first track

        torch.set_num_threads(1)

    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        found = self._sound.segments(media, ref)
        return [Clip(ref.track_id, part.number, part.start_s, fingerprint(part.samples)) for part in found]

    def kept(self) -> Segments:
        return self.settings.segments

    def clip_bytes(self) -> int:
        return int(self.settings.segments.usual[1] / HOP_S) * 4


def fingerprint(samples: Samples) -> npt.NDArray[np.uint32]:
    """The sub-fingerprints of float32 (samples,) at `RATE`: uint32 (frames,), one every `HOP` samples."""
    import torch

    with torch.inference_mode():
        spectrum = torch.stft(
            torch.from_numpy(samples),
            WINDOW,
            HOP,
            window=torch.hann_window(WINDOW),
            center=False,
            return_complex=True,
        )
        first, last = _heard_bins()
        heard = torch.view_as_real(spectrum[first:last])
        power = (heard[..., 0].square() + heard[..., 1].square()).T.numpy()
    energy = power @ _bands()[first:last]
    contrast = energy[:, :-1] - energy[:, 1:]
    rises = contrast[STEP:] > contrast[:-STEP]
    return np.packbits(rises, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)


def _heard_bins() -> tuple[int, int]:
    """The bins of the spectrum that lie in a band, and no others are looked at: first, and after the last."""
    inside = np.flatnonzero(_bands().any(axis=1))
    return int(inside[0]), int(inside[-1]) + 1


@cache
def _bands() -> npt.NDArray[np.float32]:
    """float32 (bins, 33): which bins of the spectrum lie in which band; the bands are equal in octaves."""
    edges = np.geomspace(F_MIN, F_MAX, BITS + 2)
    bins = np.arange(WINDOW // 2 + 1)[:, None] * (RATE / WINDOW)
    inside: npt.NDArray[Any] = (bins >= edges[:-1]) & (bins < edges[1:])
    return inside.astype(np.float32)


FEATURE = Fingerprint
