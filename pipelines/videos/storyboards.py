"""Small frames of a few videos, kept and dropped, for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import av

from pipelines.videos.children import CHILDREN, ChildError
from schemas.digests import stable_hash
from schemas.store import Store
from schemas.tables.videos import KEPT

KEPT_SHOWN, DROPPED_SHOWN, MOST_SHOWN = 6, 2, 20
FRAMES = 6
WIDTH = 160
MOST_BYTES = 8_000
_QUALITIES = (70, 50, 30, 15)
_LIMIT_S = 60.0
_SEED = 21


def draw_storyboards(store: Store, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `storyboards`: six frames of at most 20 videos, evenly over their length, at most 8 kB each.

    Args:
        rows: of `videos`.
    """
    boards: list[dict[str, Any]] = []
    for row in chosen(rows):
        path = store.local_path(row["video_uri"])
        end = row["video_s"] or row["duration_s"]
        request = {"video": str(path), "seconds": [round(end * (n + 0.5) / FRAMES, 3) for n in range(FRAMES)]}
        try:
            drawn = CHILDREN.call("pipelines.videos.storyboards:draw", request, _LIMIT_S)
        except ChildError:  # the table says what the video is; a picture that cannot be had is no reason to stop
            continue
        boards += [
            {"track_id": row["track_id"], "number": number, "at_s": at, "jpeg": base64.b64decode(jpeg)}
            for number, (at, jpeg) in enumerate(drawn)
        ]
    return boards


def chosen(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The videos to be shown: some that stay, and of each reason some that leave, by a hash of their ids."""
    drawable = [row for row in rows if row.get("video_s")]
    drawable.sort(key=lambda row: (row["kind"] != KEPT, row["kind"], stable_hash(row["track_id"], _SEED)))
    counts: dict[str, int] = {}
    found = []
    for row in drawable:
        counts[row["kind"]] = counts.get(row["kind"], 0) + 1
        if counts[row["kind"]] <= (KEPT_SHOWN if row["kind"] == KEPT else DROPPED_SHOWN):
            found.append(row)
    return found[:MOST_SHOWN]


def draw(request: dict[str, Any]) -> list[list[Any]]:
    """The frames at some seconds of a video: [second, JPEG in base64] each. For a child process."""
    drawn: list[list[Any]] = []
    with av.open(request["video"], "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for second in request["seconds"]:
            if stream.time_base:
                container.seek(int(second / stream.time_base), stream=stream, backward=True)
            shown = None
            for frame in container.decode(stream):
                if shown is not None and frame.time is not None and frame.time > second:
                    break
                shown = frame
            if shown is not None:
                drawn.append([float(shown.time or 0.0), base64.b64encode(_jpeg(shown)).decode()])
    return drawn


def _jpeg(frame: av.VideoFrame) -> bytes:
    height = max(2, round(frame.height * WIDTH / max(1, frame.width)))
    image = frame.reformat(WIDTH, min(height, 2 * WIDTH), "rgb24").to_image()
    data = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=2)
        data = buffer.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return data
