"""Pieces of the project's own synthesis, cut into some hundred short clips, and the manifest of them.

There are enough of them for several shards, and they are short enough to be decoded in no time. Pieces repeat
themselves, so that fingerprints have something to find.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import soundfile

from pipelines.synthesis import SAMPLE_RATE, compose, render

ARTISTS, PIECES, CLIPS = 10, 30, 20
# A fingerprint wants 3.2 s at the least.
CLIP_S, STEP_S = 3.6, 1.5
MANIFEST = """\
name: clips
card:
  title: Short clips of synthesised pieces
  licence: CC0
source:
  kind: folder
  path: clips
tags:
  rules: msd500
  min_tracks: 2
captions: {kind: templates, fallback: title}
splits:
  ratios: {train: 0.6, valid: 0.2, test: 0.2}
pairs: {split: test, count: 50}
features:
  mel: {kind: log_mel, preset: ttmr, min_s: 1, segments: {span_s: 1.2, count: 1, segment_s: 1.2}}
  fp: {kind: fingerprint, min_s: 2, min_overlap_s: 2, segments: {span_s: 3.6}}
"""
_COLUMNS = ("path", "track_id", "artist", "album", "title", "year", "tags")


def write(folder: Path) -> Path:
    """Write `clips/` and the manifest beside it; return the manifest's path."""
    rows = []
    for piece in compose(ARTISTS, PIECES, seed=1).tracks[:PIECES]:
        samples = render(piece)
        mono = samples if samples.ndim == 1 else samples.mean(axis=int(samples.shape[0] > samples.shape[1]))
        size, step = int(CLIP_S * SAMPLE_RATE), int(STEP_S * SAMPLE_RATE)
        clips = [mono[start : start + size] for start in range(0, len(mono) - size + 1, step)][:CLIPS]
        for number, clip in enumerate(clips):
            name = f"{piece.track_id}-{number:02d}"
            path = folder / "clips" / piece.track_id / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.asarray(clip, np.float32), SAMPLE_RATE)
            # Each clip has some of the piece's tags as they were typed, so that there is much to clean and split.
            tags = [tag for place, (tag, _) in enumerate(piece.raw_tags) if (place + number) % 3]
            title = f"{piece.title}, part {number + 1}"
            rows.append([f"{piece.track_id}/{name}.flac", name, piece.artist_name, piece.album, title, piece.year])
            rows[-1].append(";".join(tag for tag in tags if ";" not in tag))
    (folder / "clips" / "broken.flac").write_bytes(b"fLaC" + bytes(2000))
    text = io.StringIO()
    csv.writer(text).writerows([_COLUMNS, *rows])
    (folder / "clips" / "metadata.csv").write_text(text.getvalue())
    manifest = folder / "clips.yaml"
    manifest.write_text(MANIFEST)
    return manifest
