"""Which streams of a container are meant, and the second that their time stamps are counted from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import av

# Where a container has no index (MPEG-TS), a seek may land behind the keyframe that a second needs.
_BACK_S = (0.0, 12.0)
_TIMING = 1e-4
# For FFmpeg: a file that names others (a playlist, a session) makes it open no address.
OF_A_PATH = {"protocol_whitelist": "file"}
OF_A_STREAM = {"protocol_whitelist": "none"}


def pictures_of(container: Any) -> Any | None:
    """The first stream of moving pictures, or None: the cover of an album is a picture and no video."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def frames_from(container: Any, stream: Any, second: float) -> Iterator[Any]:
    """Decode from a frame on that is shown at `second` of the container or before, from the start where need be."""
    start_s = start_of(container)
    if stream.time_base:
        for back in _BACK_S:
            if second < back:
                break
            container.seek(int((start_s + second - back) / stream.time_base), stream=stream, backward=True)
            frames = container.decode(stream)
            opening = next(frames, None)
            if opening is not None and (opening.time is None or opening.time - start_s <= second + _TIMING):
                return itertools.chain([opening], frames)
        container.seek(int((start_s - 1.0) / stream.time_base), stream=stream, backward=True)
    found: Iterator[Any] = container.decode(stream)
    return found


def start_of(container: Any) -> float:
    """Where the first of its sound and pictures starts, in seconds of its time stamps.

    Stamps below zero are those of an encoder's delay, which is not heard: nothing starts before 0.
    """
    pictures = pictures_of(container)
    streams = [*container.streams.audio, *([] if pictures is None else [pictures])]
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in streams
        if stream.start_time is not None and stream.time_base
    ]
    return max(0.0, min(starts, default=0.0))
