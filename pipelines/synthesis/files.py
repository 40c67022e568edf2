"""From a track to the file on disk: FLAC or MP3 with embedded tags, and the defects."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile as sf
from mutagen import flac, id3
from numpy.typing import NDArray

from pipelines.synthesis.corpus import DemoTrack
from pipelines.synthesis.mix import perform
from pipelines.synthesis.score import SAMPLE_RATE

# mutagen says that it is typed, and annotates nothing.
_flac_tags: Any = flac
_id3_tags: Any = id3

KEPT_OF_TRUNCATED = 0.45
"""The part of a truncated file's bytes that is left."""

FLAC_LEVELS = 2**11
"""Steps from zero to full scale in a FLAC: 12 bits with the sign."""


def render(track: DemoTrack) -> NDArray[np.float32]:
    """Return what the track's file should sound like: float32 (samples,), mono at `SAMPLE_RATE`, peak below 0 dBFS.

    A truncated track is rendered whole, a silent one as zeros, one that is no audio as no samples.
    """
    if track.defect == "not_audio":
        return np.zeros(0, dtype=np.float32)
    if track.defect == "silent":
        return np.zeros(round(track.duration_s * SAMPLE_RATE), dtype=np.float32)
    return perform(track.score)


def encode(track: DemoTrack) -> bytes:
    """Return the track's file, defects included; the format is the one of its path.

    Equal tracks give equal bytes in every thread and process of one installation.
    """
    if track.defect == "not_audio":
        text = f"{track.title} by {track.artist_name}: this download has expired, please sign in again.\n"
        return text.encode() * 40
    sound = render(track)
    data = _flac(sound, track) if track.path.endswith(".flac") else _mp3(sound, track)
    return data[: int(len(data) * KEPT_OF_TRUNCATED)] if track.defect == "truncated" else data


def _words(track: DemoTrack) -> list[str]:
    """Return the raw tags as a genre field holds them."""
    return [tag for tag, _ in track.raw_tags]


def _flac(sound: NDArray[np.float32], track: DemoTrack) -> bytes:
    buffer = io.BytesIO()
    # FLAC stores unused low bits for nothing: a third smaller, and the rounding lies 74 dB below full scale.
    coarse = np.round(sound * np.float32(FLAC_LEVELS)) / np.float32(FLAC_LEVELS)
    sf.write(buffer, coarse, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    buffer.seek(0)
    tagged = _flac_tags.FLAC(buffer)
    tagged["title"] = [track.title]
    tagged["artist"] = [track.artist_name]
    tagged["album"] = [track.album]
    tagged["date"] = [str(track.year)]
    tagged["genre"] = _words(track)
    buffer.seek(0)
    tagged.save(buffer, padding=lambda _: 0)
    return buffer.getvalue()


def _mp3(sound: NDArray[np.float32], track: DemoTrack) -> bytes:
    buffer = io.BytesIO()
    sf.write(
        buffer,
        sound,
        SAMPLE_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="VARIABLE",
        compression_level=0.6,
    )
    tags = _id3_tags.ID3()
    tags.add(_id3_tags.TIT2(encoding=3, text=[track.title]))
    tags.add(_id3_tags.TPE1(encoding=3, text=[track.artist_name]))
    tags.add(_id3_tags.TALB(encoding=3, text=[track.album]))
    tags.add(_id3_tags.TDRC(encoding=3, text=[str(track.year)]))
    tags.add(_id3_tags.TCON(encoding=3, text=_words(track)))
    head = io.BytesIO()
    tags.save(head, padding=lambda _: 0)
    return head.getvalue() + buffer.getvalue()
