"""Some videos as rows of small frames, with the boundaries of their scenes and why they left."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from pipelines.report.contents import Contents
from pipelines.report.summary import meaning
from schemas.page.words import one_line
from schemas.store import Store
from schemas.tables import STORYBOARDS, VIDEOS
from schemas.tables.videos import KEPT

MOST_SHOWN = 20
_MOST_BYTES = 10_000
_MOST_FRAMES = 8
_JPEG = b"\xff\xd8\xff"
_WIDTH, _HEIGHT = 960, 22


@dataclass(frozen=True)
class ShownFrame:
    """One frame: an address that holds it, and its second."""

    source: str
    at_s: float


@dataclass(frozen=True)
class Storyboard:
    """One video.

    Attributes:
        reason: why it left, and what that means; empty for one that stays.
        timeline: a drawing of its scenes.
    """

    track_id: str
    title: str
    artist: str
    kept: bool
    reason: str
    meaning: str
    detail: str
    seconds: float
    scenes: int
    longest_s: float
    frames: Sequence[ShownFrame]
    timeline: Markup


def read_storyboards(out: Store, contents: Contents) -> list[Storyboard]:
    """The videos to be shown, those that stay first; none where the dataset has no videos.

    Raises:
        DataError: a table that the receipt lists is missing or damaged.
    """
    files = contents.receipt.files()
    if STORYBOARDS.filename not in files or VIDEOS.filename not in files:
        return []
    pictures: dict[str, list[dict[str, Any]]] = {}
    for row in STORYBOARDS.read(out).to_pylist():
        pictures.setdefault(row["track_id"], []).append(row)
    wanted = pa.array(sorted(pictures), pa.string())
    videos = VIDEOS.read(out)
    rows = videos.filter(pc.is_in(videos.column("track_id"), value_set=wanted)).to_pylist()
    tracks = contents.tracks.filter(pc.is_in(contents.tracks.column("track_id"), value_set=wanted)).to_pylist()
    named = {track["track_id"]: track for track in tracks}
    rows.sort(key=lambda row: (row["kind"] != KEPT, row["kind"], row["track_id"]))
    return [
        _storyboard(row, named.get(row["track_id"], {}), pictures[row["track_id"]]) for row in rows[:MOST_SHOWN]
    ]


def _storyboard(row: Mapping[str, Any], track: Mapping[str, Any], pictures: list[dict[str, Any]]) -> Storyboard:
    drawable = [p for p in pictures if p["jpeg"].startswith(_JPEG) and len(p["jpeg"]) <= _MOST_BYTES]
    frames = [
        ShownFrame("data:image/jpeg;base64," + base64.b64encode(picture["jpeg"]).decode(), picture["at_s"])
        for picture in drawable[:_MOST_FRAMES]
    ]
    kept = row["kind"] == KEPT
    starts = [start for start in row["scenes"] or [] if start >= 0]
    seconds = row["video_s"] or row["duration_s"] or 0.0
    return Storyboard(
        row["track_id"],
        one_line(track.get("title") or row["track_id"]),
        one_line(track.get("artist_name") or track.get("artist_id") or ""),
        kept,
        "" if kept else row["kind"],
        "" if kept else meaning(row["kind"]),
        row["detail"] or "",
        seconds,
        len(starts),
        row["longest_scene_s"] or 0.0,
        frames,
        timeline(starts, seconds, [frame.at_s for frame in frames]),
    )


def timeline(starts: Sequence[float], seconds: float, shown: Sequence[float]) -> Markup:
    """The scenes as a bar: a line at each boundary, the longest scene darker, a dot below each frame's second."""
    if seconds <= 0 or not starts:
        return Markup("")
    scale = _WIDTH / seconds
    ends = [*starts[1:], seconds]
    longest = max(range(len(starts)), key=lambda place: (ends[place] - starts[place], -place))
    parts = [f'<rect x="0" y="2" width="{_WIDTH}" height="10" fill="var(--soft)" stroke="var(--rule)"/>']
    x, width = starts[longest] * scale, max(0.0, ends[longest] - starts[longest]) * scale
    parts.append(f'<rect x="{x:.1f}" y="2" width="{width:.1f}" height="10" fill="var(--rule)"/>')
    parts += [
        f'<path d="M{start * scale:.1f} 0V14" stroke="var(--ink)"/>' for start in starts[1:] if start < seconds
    ]
    parts += [f'<circle cx="{at * scale:.1f}" cy="19" r="2.5" fill="var(--muted)"/>' for at in shown]
    label = f"{len(starts)} scenes in {seconds:.1f} s"
    drawn = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return Markup(drawn)  # noqa: S704 - numbers alone
