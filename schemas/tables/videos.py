"""What was found in the file of each video that is there: kept or dropped, and what both were decided by."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

KEPT = "music_video"

VIDEOS = TableSchema(
    name="videos",
    version=1,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "as in tracks"),
            column("kind", pa.string(), f"{KEPT} for those that stay, else the reason of its exclusion"),
            column("detail", pa.string(), "what was measured, of those that leave", nullable=True),
            column("audio_uri", pa.string(), "POSIX path of the sound below the folder of videos", nullable=True),
            column("video_uri", pa.string(), "POSIX path of the pictures; may be the same file", nullable=True),
            column("audio_sha256", pa.string(), "digest of the file of the sound", nullable=True),
            column("video_sha256", pa.string(), "digest of the file of the pictures", nullable=True),
            column("duration_s", pa.float64(), "seconds that have both sound and pictures", nullable=True),
            column("audio_s", pa.float64(), "where the sound ends, seconds", nullable=True),
            column("video_s", pa.float64(), "where the pictures end, seconds", nullable=True),
            column("fps", pa.float64(), "frames a second, on average", nullable=True),
            column("width", pa.int32(), "pixels", nullable=True),
            column("height", pa.int32(), "pixels", nullable=True),
            column(
                "scenes", pa.list_(pa.float64()), "where each scene starts, seconds; 0 is the first", nullable=True
            ),
            column("longest_scene_s", pa.float64(), "seconds", nullable=True),
            column("static_share", pa.float64(), "share of the steps in which nothing moves", nullable=True),
            column("black_share", pa.float64(), "share of the frames that are black", nullable=True),
        ]
    ),
    sort_by=("track_id",),
    unique=("track_id",),
)
