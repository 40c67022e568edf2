"""The wanted seconds of an audio file as mono samples; what is not kept is not decoded.

soundfile reads what libsndfile knows (WAV, FLAC, OGG, Opus, MP3); PyAV reads the rest (M4A).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from schemas.reasons import Reason
from schemas.store import Store

Waveform = npt.NDArray[np.float32]
# Where MP3 and Opus headers state a length in whole packets, a shorter end is no damage.
_END_SLACK_S = 0.15
_RUN_UP_S = 0.5
_LEANING = frozenset({"MP3", "OGG"})


class ExcludedError(Exception):
    """A track that cannot have the feature; becomes a row of exclusions."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Window:
    """Which seconds are wanted.

    Attributes:
        seconds: at most so many; None for the whole file.
        position: `start` or `centre` of what the file holds.
        offset_s, limit_s: the part of the file that counts as the track (clips of a longer recording).
    """

    seconds: float | None
    position: str = "centre"
    offset_s: float = 0.0
    limit_s: float | None = None

    def frames(self, total: int, rate: int) -> tuple[int, int]:
        """First frame and count in a file of `total` frames at `rate`."""
        first = min(total, round(self.offset_s * rate))
        last = total if self.limit_s is None else min(total, round(self.limit_s * rate))
        available = max(0, last - first)
        wanted = available if self.seconds is None else min(available, round(self.seconds * rate))
        if self.position == "centre":
            first += (available - wanted) // 2
        return first, wanted


def decode(store: Store, path: str, window: Window, rate: int) -> tuple[Waveform, float]:
    """Decode the window, mix to mono by mean, resample by soxr HQ.

    Returns:
        float32 (samples,) at `rate`, and the second of the file at which it starts.

    Raises:
        ExcludedError: the file is missing, unreadable, no audio, or ends before its header says.
    """
    if not store.inside(path):
        raise ExcludedError(Reason.OUTSIDE_SOURCE, f"{path} leads out of the source's folder")
    try:
        stream = store.open(path)
    except FileNotFoundError as error:
        raise ExcludedError(Reason.MISSING_FILE, f"{path} is not there") from error
    except OSError as error:
        raise ExcludedError(Reason.UNREADABLE, f"{path}: {error.strerror or error}") from error
    with stream:
        if not stream.read(1):
            raise ExcludedError(Reason.NOT_AUDIO, f"{path}: the file has zero bytes")
        stream.seek(0)
        try:
            samples, native, start_s = _by_soundfile(stream, store, path, window)
        except soundfile.LibsndfileError as error:
            stream.seek(0)
            samples, native, start_s = _by_av(stream, path, window, str(error))
    mono = samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    if native != rate and len(mono):
        mono = soxr.resample(mono, native, rate, quality="HQ")
    return np.ascontiguousarray(mono, np.float32), start_s


def _by_soundfile(
    stream: BinaryIO, store: Store, path: str, window: Window
) -> tuple[npt.NDArray[np.float32], int, float]:
    # By path where there is one: reading through Python costs a callback a block.
    local = store.local_path(path)
    with soundfile.SoundFile(str(local) if local is not None else stream) as file:
        first, wanted = window.frames(file.frames, file.samplerate)
        try:
            # A frame of these leans on those before it: what follows a seek is only right after a run-up.
            run_up = min(first, round(_RUN_UP_S * file.samplerate)) if file.format in _LEANING else 0
            if first:
                file.seek(first - run_up)
            samples = file.read(run_up + wanted, dtype="float32", always_2d=file.channels > 1)[run_up:]
        except soundfile.LibsndfileError as error:
            detail = f"{path}: the decoder stopped within {first / file.samplerate:.1f} s and the end: {error}"
            raise ExcludedError(_reason_of(str(error)), detail) from error
        read = len(samples)
        if wanted - read > _END_SLACK_S * file.samplerate:
            seconds = (first + read) / file.samplerate
            stated = file.frames / file.samplerate
            raise ExcludedError(Reason.TRUNCATED, f"{path}: {seconds:.2f} s could be read of {stated:.2f} s")
        return samples, file.samplerate, first / file.samplerate


def _reason_of(message: str) -> Reason:
    """A decoder that loses its sync in mid-file has met the file's early end more often than anything else."""
    return Reason.TRUNCATED if "lost sync" in message or "end of file" in message.lower() else Reason.DECODE_ERROR


def _by_av(
    stream: BinaryIO, path: str, window: Window, first_error: str
) -> tuple[npt.NDArray[np.float32], int, float]:
    try:
        with av.open(stream, "r") as container:
            if not container.streams.audio:
                raise ExcludedError(Reason.NOT_AUDIO, f"{path}: no audio stream")
            audio = container.streams.audio[0]
            rate = audio.rate
            stated = float(audio.duration * audio.time_base) if audio.duration and audio.time_base else None
            total = round((stated if stated is not None else (container.duration or 0) / av.time_base) * rate)
            first, wanted = window.frames(total, rate) if total else (0, None)
            if first and audio.time_base:
                # To a packet before the run-up; the samples before the window are cut below.
                place = max(0.0, first / rate - _RUN_UP_S)
                container.seek(int(place / audio.time_base), stream=audio, backward=True)
            resampler = av.AudioResampler(format="fltp", rate=rate)
            pieces: list[npt.NDArray[np.float32]] = []
            begin: int | None = None
            have = 0
            for frame in container.decode(audio):
                if begin is None:
                    begin = round(float(frame.time or 0.0) * rate)
                for piece in resampler.resample(frame):
                    array = piece.to_ndarray().astype(np.float32, copy=False)
                    pieces.append(array)
                    have += array.shape[1]
                if wanted is not None and begin + have >= first + wanted:
                    break
    except (av.FFmpegError, ValueError, OSError) as error:
        raise ExcludedError(
            Reason.NOT_AUDIO if not first_error else _reason_of(first_error), f"{path}: {error}"
        ) from error
    if not pieces:
        raise ExcludedError(Reason.DECODE_ERROR, f"{path}: {first_error}")
    joined = np.concatenate(pieces, axis=1)
    if wanted is None:  # the container states no length: all was decoded, and the window is cut from what came
        total = joined.shape[1] + (begin or 0)
        first, wanted = window.frames(total, rate)
    skip = max(0, first - (begin or 0))
    samples = joined[:, skip : skip + wanted]
    if wanted - samples.shape[1] > _END_SLACK_S * rate:
        read = (first + samples.shape[1]) / rate
        raise ExcludedError(Reason.TRUNCATED, f"{path}: {read:.2f} s could be read of {total / rate:.2f} s")
    return samples.T if samples.shape[0] > 1 else samples[0], rate, first / rate
