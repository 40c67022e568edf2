"""Several features of one track, cut at the same seconds: what is heard, and what is seen meanwhile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.digests import stable_hash
from schemas.errors import DataError
from train.data.reader import Array, ClipReader, ClipRef, Crop

# Clips of two features that are meant to be one stretch may differ by rounding to their own samples.
_SLACK_S = 1e-3


@dataclass(frozen=True)
class Span:
    """A stretch of a track of which every feature has a clip.

    Attributes:
        start_s, end_s: seconds of the track's file.
        clips: the clip of each feature that holds the stretch, by the feature's name.
    """

    track_id: str
    start_s: float
    end_s: float
    clips: Mapping[str, ClipRef]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class SpanCrop:
    """`seconds` of a span from the file's second `start_s` on."""

    span: Span
    start_s: float
    seconds: float


class JoinedReader:
    """Random access to crops of several features at once.

    Attributes:
        readers: one a feature, by name.
        spans: of each track that every feature has, the stretches that they share, in the order of time.
        grid_s: seconds between the places where a crop may begin: one frame of the coarsest feature.
    """

    def __init__(self, readers: Mapping[str, ClipReader]) -> None:
        """Join the clips of the same tracks by time.

        Raises:
            DataError: no reader, or a feature that does not say how long its frames are.
        """
        if not readers:
            raise DataError("no feature to join; name at least one")
        self.readers = dict(readers)
        self._frame_s = {name: reader.frame_s for name, reader in self.readers.items()}
        self.grid_s = max(self._frame_s.values())
        tracks = set.intersection(*(set(reader.clips) for reader in self.readers.values()))
        shared = {track: self._spans(track) for track in sorted(tracks)}
        self.spans = {track: spans for track, spans in shared.items() if spans}

    def _spans(self, track: str) -> list[Span]:
        spans = [Span(track, -math.inf, math.inf, {})]
        for name, reader in self.readers.items():
            frame_s = self._frame_s[name]
            spans = [
                Span(track, start, end, {**span.clips, name: clip})
                for span in spans
                for clip in reader.clips[track]
                if (end := min(span.end_s, clip.start_s + clip.frames * frame_s))
                - (start := max(span.start_s, clip.start_s))
                > max(_SLACK_S, self.grid_s / 2)
            ]
        # Clips that overlap meet in many stretches: of those that lie in one another the longest says it all.
        widest: list[Span] = []
        for span in sorted(spans, key=lambda span: (span.start_s, -span.end_s)):
            if not widest or span.end_s > widest[-1].end_s + _SLACK_S:
                widest.append(span)
        return widest

    def frames(self, feature: str, seconds: float) -> int:
        """How many frames of a feature `seconds` are, to the nearest."""
        return max(1, round(seconds / self._frame_s[feature]))

    def read(self, crops: Sequence[SpanCrop]) -> dict[str, Array]:
        """Read crops of one length: for each feature (N, frames, …) in its own dtype.

        Each feature is cut at its frame nearest to the crop's start, so two features differ by at most half a frame
        of either; where a crop reaches beyond a clip's end it is filled as `ClipReader.read` fills.
        """
        return {
            name: reader.read([self._crop(name, crop) for crop in crops]) for name, reader in self.readers.items()
        }

    def _crop(self, name: str, crop: SpanCrop) -> Crop:
        clip = crop.span.clips[name]
        first = round((crop.start_s - clip.start_s) / self._frame_s[name])
        return Crop(clip, min(max(0, first), clip.frames - 1), self.frames(name, crop.seconds))

    def random_crop(
        self,
        track: str,
        seconds: float,
        *,
        seed: int,
        epoch: int,
        number: int = 0,
        spans: Sequence[Span] | None = None,
    ) -> SpanCrop:
        """Where a track is cropped in an epoch: a pure function of (seed, epoch, track, number of the crop).

        Uniform over the spans that are long enough, then over the places of the coarsest feature's grid; where none
        is, a span is taken from its start.

        Args:
            spans: of the track's, those to choose from, which then decide as well; None for all.
        """
        among = "" if spans is None else "".join(f"\x00{span.start_s:.3f}" for span in spans)
        draw = stable_hash(f"{epoch}\x00{track}\x00joined\x00{number}{among}", seed)
        chosen = self._long_enough(self.spans[track] if spans is None else spans, seconds)
        draw, place = divmod(draw, len(chosen))
        return self._placed(chosen[place], seconds, draw)

    def centre_crop(self, track: str, seconds: float, *, spans: Sequence[Span] | None = None) -> SpanCrop:
        """The middle of the track's middle span that is long enough: the same every time."""
        chosen = self._long_enough(self.spans[track] if spans is None else spans, seconds)
        span = chosen[len(chosen) // 2]
        return self._placed(span, seconds, (self._places(span, seconds) - 1) // 2)

    def _long_enough(self, spans: Sequence[Span], seconds: float) -> Sequence[Span]:
        return [span for span in spans if span.seconds >= seconds - max(_SLACK_S, self.grid_s / 2)] or spans

    def _places(self, span: Span, seconds: float) -> int:
        slack = min(_SLACK_S, self.grid_s / 2)
        return max(0, math.floor((span.seconds - seconds + slack) / self.grid_s)) + 1

    def _placed(self, span: Span, seconds: float, draw: int) -> SpanCrop:
        return SpanCrop(span, span.start_s + (draw % self._places(span, seconds)) * self.grid_s, seconds)
