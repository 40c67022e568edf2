"""Which seconds of a track become clips: one clip, or several of one length back to back."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Headers round a length, and resampling rounds it again: a segment that lacks no more than this is whole.
SLACK_S = 0.001


class Segments(BaseModel):
    """The part of a track that counts, and how it is cut.

    Segments lie back to back, at the start or around the middle of the track. One that the track does not fill is
    left out, so that a short track has fewer, around its own middle; a track that fills none is too short. Without
    `segment_s` the whole part is one segment, shorter where the track is. So `{}` is the whole track,
    `{span_s: 30}` its middle 30 seconds, `{position: start, span_s: 20, count: 6, segment_s: 3}` MuLaP's six
    segments in the first 20 seconds (at 0, 3, … 15: the last two seconds are no whole segment), and
    `{span_s: 120, count: 8, segment_s: 15}` VCMR's eight in the middle two minutes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    position: Literal["start", "centre"] = Field(default="centre", description="where in the track the part lies")
    span_s: float | None = Field(default=None, gt=0, description="seconds of the part; null for the whole track")
    count: int | None = Field(
        default=None, ge=1, description="segments at most; null for as many as fit, or one without segment_s"
    )
    segment_s: float | None = Field(default=None, gt=0, description="seconds of each; null for the whole part")

    @model_validator(mode="after")
    def _fits(self) -> Segments:
        if self.segment_s is None:
            if self.count not in (None, 1):
                raise ValueError(f"count is {self.count} and segment_s is not given; say how long each is")
        elif self.span_s is not None and self._most() * self.segment_s > self.span_s + SLACK_S:
            raise ValueError(
                f"{self._most()} segments of {self.segment_s:g} s are longer than span_s, {self.span_s:g} s"
            )
        return self

    def _most(self) -> int:
        """How many segments there are at most; 0 for as many as the track has."""
        if self.segment_s is None:
            return 1
        if self.count is None:
            return 0 if self.span_s is None else max(1, int((self.span_s + SLACK_S) / self.segment_s))
        return self.count

    @property
    def wanted_s(self) -> float | None:
        """Seconds that are read at most; None for the whole track."""
        if self.segment_s is None:
            return self.span_s
        return self._most() * self.segment_s or None

    @property
    def usual(self) -> tuple[int, float]:
        """How many segments a full-length track (four minutes) has, and the seconds of each; for plans."""
        placed = self.places(240.0)
        return (len(placed), placed[0][1]) if placed else (1, self.segment_s or 240.0)

    def places(self, duration_s: float) -> list[tuple[float, float]]:
        """The segments of a track as (start, length) in seconds; none where the track is too short."""
        length = self.segment_s
        if length is None:
            whole = duration_s if self.span_s is None else min(duration_s, self.span_s)
            count, length = (1, whole) if whole > 0 else (0, 0.0)
        else:
            part = duration_s if self.wanted_s is None else min(duration_s, self.wanted_s)
            count = math.floor((part + SLACK_S) / length)
        first = max(0.0, (duration_s - count * length) / 2) if self.position == "centre" else 0.0
        return [(first + number * length, length) for number in range(count)]

    def cut(self, total: int, rate: int) -> list[tuple[int, int]]:
        """The segments of a track of `total` samples as (first, length) in samples, all of one length.

        The last may reach up to `SLACK_S` beyond the end.
        """
        if self.segment_s is None:
            length = total if self.span_s is None else min(total, round(self.span_s * rate))
            count = 1 if length else 0
        else:
            length, slack = round(self.segment_s * rate), math.ceil(SLACK_S * rate)
            count = (total + slack) // length
            count = min(count, self._most()) if self._most() else count
        first = max(0, (total - count * length) // 2) if self.position == "centre" else 0
        return [(first + number * length, length) for number in range(count)]
