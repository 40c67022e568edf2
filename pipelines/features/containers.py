"""Which streams of a container are meant, and the second that their time stamps are counted from."""

from __future__ import annotations

from typing import Any

import av


def pictures_of(container: Any) -> Any | None:
    """The first stream of moving pictures, or None: the cover of an album is a picture and no video."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


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
