"""From a track to the file on disk: FLAC or MP3 with embedded tags, and the defects."""

from __future__ import annotations

import io

import numpy as np
import soundfile as sf
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TALB, TCON, TDRC, TIT2, TPE1
from numpy.typing import NDArray

from pipelines.synthesis.corpus import DemoTrack
from pipelines.synthesis.mix import perform
from pipelines.synthesis.score import SAMPLE_RATE

KEPT_OF_TRUNCATED = 0.45
"""The part of a truncated file's bytes that is left."""


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
    sf.write(buffer, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    buffer.seek(0)
    tagged = FLAC(buffer)
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
    sf.write(buffer, sound, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III")
    tags = ID3()
    tags.add(TIT2(encoding=3, text=[track.title]))
    tags.add(TPE1(encoding=3, text=[track.artist_name]))
    tags.add(TALB(encoding=3, text=[track.album]))
    tags.add(TDRC(encoding=3, text=[str(track.year)]))
    tags.add(TCON(encoding=3, text=_words(track)))
    head = io.BytesIO()
    tags.save(head, padding=lambda _: 0)
    return head.getvalue() + buffer.getvalue()
