"""Small frames of a few videos, kept and dropped, for the report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.progress import beat
from pipelines.videos.at_hand import NotAtHandError, at_hand
from pipelines.videos.children import CHILDREN, ChildError
from schemas.digests import stable_hash
from schemas.store import Store
from schemas.tables.videos import KEPT

KEPT_SHOWN, DROPPED_SHOWN, MOST_SHOWN = 6, 2, 20
FRAMES = 6
_LIMIT_S = 60.0
_SEED = 21


def draw_storyboards(store: Store, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `storyboards`: six frames of at most 20 videos, evenly over their length, at most 8 kB each.

    Args:
        rows: of `videos`.
    """
    boards: list[dict[str, Any]] = []
    for row in chosen(rows):
        beat()
        end = row["video_s"] or row["duration_s"]
        seconds = [round(end * (n + 0.5) / FRAMES, 3) for n in range(FRAMES)]
        try:
            with at_hand(store, row["video_uri"]) as (path,):
                request = {"video": path, "seconds": seconds}
                drawn = CHILDREN.call("pipelines.videos.storyboard_frames:draw", request, _LIMIT_S)
        except (ChildError, NotAtHandError):
            # The table says what the video is; a picture that cannot be had is no reason to stop.
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
