"""The frames of a track's seconds, segment by segment, for features that tell a video second by second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.features.media import MediaRef
from pipelines.features.segments import Segments
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.shards import Clip
from schemas.store import Store

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class VideoSeconds:
    """Which frames a feature looks at.

    Attributes:
        segments: which seconds of a track are kept.
        seconds: whole seconds of a segment.
        fps: frames a second that are looked at.
    """

    segments: Segments
    seconds: int
    fps: int

    @classmethod
    def of(cls, name: str, segments: Segments, fps: int) -> VideoSeconds:
        """Of the feature `name`.

        Raises:
            UsageError: its segments are not of whole seconds.
        """
        seconds = segments.segment_s
        if seconds is None or seconds != int(seconds):
            told = "is not given" if seconds is None else f"{seconds:g} is no whole number of seconds"
            raise UsageError(f"features.{name}.segments.segment_s: {told}; a vector stands for a second")
        return cls(segments, int(seconds), fps)

    def clips(self, media: Store, ref: MediaRef, look: Callable[[Images], npt.NDArray[np.generic]]) -> list[Clip]:
        """Of each segment what `look` makes of the frames shown at n, n + 1/fps, … of each second n, in order:
        (seconds * fps, …).

        Raises:
            ExcludedError: the video is shorter than a segment, or cannot be decoded.
        """
        from pipelines.features.decode import ExcludedError
        from pipelines.features.video_frames import VideoFrames

        with VideoFrames(media, ref.uri) as frames:
            end = frames.end_s if ref.end_s is None else ref.end_s
            places = self.segments.places(end - ref.start_s)
            if not places:
                have = f"{end - ref.start_s:.2f} s; a segment has {self.seconds} s"
                raise ExcludedError(Reason.TOO_SHORT, f"{ref.uri}: {have}")
            each = self.seconds * self.fps
            wanted = np.concatenate([ref.start_s + start + np.arange(each) / self.fps for start, _ in places])
            looked = [look(picture) for picture in frames.at(wanted)]
        return [
            Clip(ref.track_id, number, ref.start_s + start, np.stack(looked[number * each : (number + 1) * each]))
            for number, (start, _) in enumerate(places)
        ]
