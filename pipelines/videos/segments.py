"""Which seconds of a track are its segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Segmentation:
    """Segments of equal length, one behind the other, of a part of the track.

    Attributes:
        span_s: the part, seconds; None for the whole track.
        count: segments at most; None for as many as the part holds.
        segment_s: of one segment, seconds.
        position: where in the track the part lies.
    """

    span_s: float | None
    count: int | None
    segment_s: float
    position: Literal["start", "centre"]

    def segments_of(self, duration_s: float) -> list[tuple[float, float]]:
        """Start and end of each whole segment, seconds from the start of the track."""
        span = duration_s if self.span_s is None else min(self.span_s, duration_s)
        fits = int((span + 1e-6) // self.segment_s)
        count = fits if self.count is None else min(self.count, fits)
        first = (duration_s - count * self.segment_s) / 2 if self.position == "centre" else 0.0
        return [(first + n * self.segment_s, first + (n + 1) * self.segment_s) for n in range(count)]
