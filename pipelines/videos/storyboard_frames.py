"""Small frames of one video as JPEG. For a child process: a decoder may die."""

from __future__ import annotations

import base64
import io
from typing import Any

import av

from pipelines.features.containers import OF_A_PATH, frames_from, pictures_of, start_of

WIDTH = 160
MOST_BYTES = 8_000
_QUALITIES = (70, 50, 30, 15)


def draw(request: dict[str, Any]) -> list[list[Any]]:
    """The frames at some seconds of a video: [second, JPEG in base64] each."""
    drawn: list[list[Any]] = []
    with av.open(request["video"], "r", options=OF_A_PATH) as container:
        stream = pictures_of(container)
        if stream is None:
            return drawn
        start_s = start_of(container)
        stream.codec_context.thread_count = 1
        for second in request["seconds"]:
            shown = None
            for frame in frames_from(container, stream, second):
                if shown is not None and frame.time is not None and frame.time - start_s > second:
                    break
                shown = frame
            if shown is not None:
                at = max(0.0, float(shown.time or 0.0) - start_s)
                drawn.append([at, base64.b64encode(_jpeg(shown)).decode()])
    return drawn


def _jpeg(frame: av.VideoFrame) -> bytes:
    height = max(2, round(frame.height * WIDTH / max(1, frame.width)))
    image = frame.reformat(WIDTH, min(height, 2 * WIDTH), "rgb24").to_image()  # type: ignore[no-untyped-call]
    data = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=2)
        data = buffer.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return data
