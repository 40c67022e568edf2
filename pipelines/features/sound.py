"""What all features of sound have in common: decode the wanted seconds once, check them, deform, cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from pipelines.features.base import FeatureSettings
from pipelines.features.deformations.base import DeformSection, deformation_of
from pipelines.features.media import MediaRef
from pipelines.features.segments import Segments
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.store import Store

Samples = np.ndarray[Any, np.dtype[np.float32]]


class SoundSettings(FeatureSettings):
    """The keys that every feature of sound has.

    Attributes:
        segments: what is kept of a track; null for what the preset publishes.
        deform: what is done to the sound before it is cut; null leaves it as it is.
        min_s: shorter sound is excluded as too_short.
        silence_db: a track whose peak lies below, in the seconds that are read, is excluded as silent.
        max_clipped: a track with a greater share of clipped samples is excluded; null keeps all.
    """

    segments: Segments | None = None
    deform: DeformSection | None = None
    min_s: float = Field(default=3.0, ge=0)
    silence_db: float = Field(default=-70.0, le=0)
    max_clipped: float | None = Field(default=0.5, ge=0, le=1)


@dataclass(frozen=True)
class Segment:
    """One segment of a track: float32 (samples,), and the second of the file at which it starts."""

    number: int
    start_s: float
    samples: Samples


class Sound:
    """The sound of tracks as the settings of a feature ask for it. Cheap to build.

    Args:
        key: of the feature in the manifest, for errors.
        rate: samples a second.
        segments: what is kept.
        shortest: samples that a segment must have.

    Raises:
        UsageError: an unknown deformation; segments that no track could fill.
    """

    def __init__(self, settings: SoundSettings, key: str, rate: int, segments: Segments, shortest: int = 1) -> None:
        self._settings, self._rate, self._segments, self._shortest = settings, rate, segments, shortest
        _require_possible(settings, key, rate, segments, shortest)
        deform = settings.deform
        self._deformation = None if deform is None else deformation_of(deform, f"{key}.deform")

    def content(self) -> dict[str, Any]:
        """What the settings say of the sound, for the shard's metadata."""
        chosen = self._settings.model_dump(mode="json", exclude={"splits", "deform"})
        deformed = {} if self._deformation is None else {"deform": self._deformation.content()}
        return {**chosen, "segments": self._segments.model_dump(mode="json"), **deformed}

    def segments(self, media: Store, ref: MediaRef) -> list[Segment]:
        """Decode the seconds that the segments need, once, and cut them.

        Raises:
            pipelines.features.decode.ExcludedError: the file or its sound is of no use.
        """
        from pipelines.features.decode import ExcludedError, Window, decode
        from pipelines.features.soundness import require_sound

        settings, rate, deformation = self._settings, self._rate, self._deformation
        speed = 1.0 if deformation is None else deformation.speed
        wanted = None if self._segments.wanted_s is None else self._segments.wanted_s * speed
        window = Window(wanted, self._segments.position, ref.start_s, ref.end_s)
        samples, start_s = decode(media, ref.uri, window, rate)
        require_sound(
            samples,
            rate,
            ref.uri,
            start_s,
            min_s=max(settings.min_s, self._shortest * speed / rate),
            silence_db=settings.silence_db,
            max_clipped=settings.max_clipped,
        )
        if deformation is not None:
            samples = deformation.apply(samples, rate, deformation.draws(ref.track_id))
        placed = self._segments.cut(len(samples), rate)
        if not placed:
            seconds = len(samples) / rate
            raise ExcludedError(
                Reason.TOO_SHORT, f"{ref.uri}: {seconds:.2f} s; a segment has {self._segments.segment_s:g} s"
            )
        return [
            Segment(number, start_s + first * speed / rate, _filled(samples[first : first + length], length))
            for number, (first, length) in enumerate(placed)
        ]


def _require_possible(settings: SoundSettings, key: str, rate: int, segments: Segments, shortest: int) -> None:
    length, wanted = segments.segment_s, segments.wanted_s
    if length is not None and round(length * rate) < shortest:
        raise UsageError(f"{key}.segments.segment_s: {length:g} s; a window alone is {shortest / rate:.3g} s")
    if wanted is not None and wanted < settings.min_s:
        raise UsageError(
            f"{key}.min_s: {settings.min_s:g} s are needed, and the segments read {wanted:g} s at most; "
            f"set {key}.min_s"
        )


def _filled(samples: Samples, length: int) -> Samples:
    """The samples that resampling rounded away, at most a millisecond, as silence."""
    if len(samples) == length:
        return samples
    return np.pad(samples, (0, length - len(samples)))
