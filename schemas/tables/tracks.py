"""One row a track: what it is, who made it, where its sound lies."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

UNKNOWN_ARTIST = "unknown-artist"
"""The artist of tracks by nobody known: one group, which splits keep in train, for it may hold any artist."""

TRACKS = TableSchema(
    name="tracks",
    version=2,
    schema=pa.schema(
        [
            column("track_id", pa.string(), "the source's own id, or one made from the path"),
            column("artist_id", pa.string(), "who made it: equal for every id and spelling of one artist"),
            column(
                "collaborators",
                pa.list_(pa.string()),
                "ids of the other artists whom the name credits and who have tracks of their own",
                nullable=True,
            ),
            column("artist_name", pa.string(), "the name as the source gives it", nullable=True),
            column("album", pa.string(), "release title", nullable=True),
            column("title", pa.string(), "track title", nullable=True),
            column("year", pa.int32(), "year of release", nullable=True),
            column(
                "duration_s",
                pa.float64(),
                "seconds, as the file's header or the source states",
                nullable=True,
            ),
            column(
                "audio_uri",
                pa.string(),
                "POSIX path of the sound below the source's audio folder",
                nullable=True,
            ),
            column(
                "audio_sha256",
                pa.string(),
                "digest of the audio file, so that a changed file is a new input",
                nullable=True,
            ),
            column("video_uri", pa.string(), "POSIX path or id of the video", nullable=True),
            column("parent_id", pa.string(), "the longer recording that this clip is cut from", nullable=True),
            column("start_s", pa.float64(), "where the clip starts in its parent, seconds", nullable=True),
            column("end_s", pa.float64(), "where the clip ends in its parent, seconds", nullable=True),
            column("recording_id", pa.string(), "equal for two tracks that are the same recording"),
            column("licence", pa.string(), "as the source states it", nullable=True),
        ]
    ),
    sort_by=("track_id",),
    unique=("track_id",),
)
