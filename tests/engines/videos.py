"""Ten short videos by five artists, one of them a still picture, and the manifest of them."""

from __future__ import annotations

from pathlib import Path

from pipelines.synthesis.videos import encode_video, plan_video

# More than one task looks through.
VIDEOS, ARTISTS, STILL = 10, 5, 3
SECONDS, FRAMES_A_SECOND, SIZE = 12.0, 12, (160, 90)
MANIFEST = """\
name: videos
card:
  title: Short synthesised videos
  licence: CC0
source:
  kind: music_videos
  path: lists
videos:
  local: videos
tags:
  rules: none
  min_tracks: 1
captions: {fallback: title}
splits:
  ratios: {train: 0.6, valid: 0.2, test: 0.2}
features:
  pictures: {kind: colour_layout, segments: {span_s: 10, count: 2, segment_s: 5}}
  sound: {kind: waveform, segments: {span_s: 10, count: 2, segment_s: 5}}
"""


def write(folder: Path) -> Path:
    """Write `videos/`, `lists/` and the manifest beside them; return the manifest's path."""
    (folder / "videos").mkdir()
    (folder / "lists").mkdir()
    lines: list[str] = []
    for number in range(VIDEOS):
        track = f"v{number:010d}"
        kind = "still_image" if number == STILL else "music_video"
        plan = plan_video(kind, number, SECONDS, FRAMES_A_SECOND, SIZE)
        encode_video(plan, folder / "videos" / f"{track}.mp4")
        if number % (VIDEOS // ARTISTS) == 0:
            lines += ["", f"# new artist:\tArtist {number}\t{number:022d}", ""]
        lines.append(track)
    (folder / "lists" / "youtube_video_ids_00_206947.txt").write_text("\n".join(lines) + "\n")
    manifest = folder / "videos.yaml"
    manifest.write_text(MANIFEST)
    return manifest
