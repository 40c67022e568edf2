"""The wanted seconds of an audio file as mono samples; what is not kept is not decoded.

soundfile reads what libsndfile knows (WAV, FLAC, OGG, Opus, MP3); PyAV reads the rest (M4A, Matroska, the sound of
a video). Samples are counted from the first that the encoder was given, where the file states its delay (LAME's
tag, Opus' pre-skip, MP4's edit list), else from the first that the decoder gives. Sound that starts later than
the pictures beside it has silence before it, so that a second is the same in both.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from pipelines.features.containers import OF_A_STREAM, pictures_of, start_of
from pipelines.features.cut_files import ogg_is_cut, sample_bytes
from pipelines.features.mp3_frames import has_unstated_varying_rate
from pipelines.file_kinds import HEAD_BYTES, audio_kind, kind_of
from schemas.digests import CHUNK_BYTES
from schemas.reasons import Reason
from schemas.store import Store

Waveform = npt.NDArray[np.float32]
# Where MP3 and Opus headers state a length in whole packets, a shorter end is no damage.
_END_SLACK_S = 0.15
_RUN_UP_S = 0.5
_LEANING = frozenset({"MP3", "OGG"})
_CHUNKED = frozenset({"WAV", "WAVEX", "AIFF"})
# Streams without a header that states their length: FFmpeg guesses it from the first packets' bit rate.
_UNSTATED = frozenset({"aac", "ac3", "eac3", "dts", "mp3", "loas", "mpegts", "mpeg", "amr"})
_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
# What programs that cannot seek write for a length that they do not know yet.
_STREAMED = 1 << 48


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
        with store.open(path) as stream:
            try:
                samples, native, start_s = _decoded(stream, store, path, window)
            except ExcludedError:
                _read_through(stream)
                raise
    except FileNotFoundError as error:
        raise ExcludedError(Reason.MISSING_FILE, f"{path} is not there; it was when the source was read") from error
    except OSError as error:
        if isinstance(error, av.FFmpegError):
            raise ExcludedError(Reason.DECODE_ERROR, f"{path}: {_told(error)}") from error
        raise ExcludedError(Reason.UNREADABLE, f"{path}: {error.strerror or error}") from error
    mono = _mono(samples)
    if native != rate and len(mono):
        mono = soxr.resample(mono, native, rate, quality="HQ")
    return np.ascontiguousarray(mono, np.float32), start_s


def _read_through(stream: BinaryIO) -> None:
    """Read all of a file that no decoder was content with: to a decoder a disk that fails is a file that ends.

    Raises:
        OSError: it cannot be read, or could not be when the decoder did.
    """
    failed: OSError | None = getattr(stream, "failed", None)
    if failed is not None:
        raise failed
    stream.seek(0)
    while stream.read(CHUNK_BYTES):
        pass


def _mono(samples: npt.NDArray[np.float32]) -> Waveform:
    """The mean of the channels of (frames, channels); (frames,) as it is."""
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 2:  # the same to the bit as `mean`, at a tenth of its cost
        mono = np.add(samples[:, 0], samples[:, 1])
        mono *= np.float32(0.5)
        return mono
    return np.asarray(samples.mean(axis=1, dtype=np.float32))


def _decoded(
    stream: BinaryIO, store: Store, path: str, window: Window
) -> tuple[npt.NDArray[np.float32], int, float]:
    head = stream.read(HEAD_BYTES)
    if not head:
        raise ExcludedError(Reason.NOT_AUDIO, f"{path}: the file has zero bytes")
    stream.seek(0)
    if has_unstated_varying_rate(stream):
        return _by_av(stream, head, path, window, "it does not say how long it is")
    try:
        return _by_soundfile(stream, store, path, window)
    except soundfile.LibsndfileError as error:
        stream.seek(0)
        return _by_av(stream, head, path, window, _told(error))


def _by_soundfile(
    stream: BinaryIO, store: Store, path: str, window: Window
) -> tuple[npt.NDArray[np.float32], int, float]:
    # By path where there is one: reading through Python costs a callback a block.
    local = store.local_path(path)
    name = str(local) if local is not None else stream
    with soundfile.SoundFile(name) as file:
        if file.frames > _STREAMED:  # FLAC from a pipe does not state its length
            return _by_reading_all(file, window)
        place = stream.tell()  # the decoder may be reading this very stream
        _refuse_cut(stream, file, path)
        stream.seek(place)
        stated = file.frames / file.samplerate
        first, wanted = window.frames(file.frames, file.samplerate)
        # A frame of these leans on those before it: what follows a seek is only right after a run-up.
        run_up = min(first, round(_RUN_UP_S * file.samplerate)) if file.format in _LEANING else 0
        try:
            if first:
                file.seek(first - run_up)
            samples = file.read(run_up + wanted, dtype="float32", always_2d=file.channels > 1)[run_up:]
        except soundfile.LibsndfileError as error:
            read = _readable(name, first - run_up, run_up + wanted)
            if _is_early_end(str(error)):
                raise ExcludedError(
                    Reason.TRUNCATED, f"{path}: {read:.2f} s could be read of {stated:.2f} s"
                ) from error
            detail = f"{path}: the decoder stopped after second {read:.2f} of {stated:.2f}: {_told(error)}"
            raise ExcludedError(Reason.DECODE_ERROR, detail) from error
        if wanted - len(samples) > _END_SLACK_S * file.samplerate:
            seconds = _readable(name, first - run_up, run_up + wanted)
            raise ExcludedError(Reason.TRUNCATED, f"{path}: {seconds:.2f} s could be read of {stated:.2f} s")
        return samples, file.samplerate, first / file.samplerate


def _is_early_end(message: str) -> bool:
    """A decoder that loses its sync in mid-file has met the file's early end more often than anything else."""
    return any(words in message.lower() for words in ("lost sync", "end of file", "seek"))


def _by_reading_all(file: Any, window: Window) -> tuple[npt.NDArray[np.float32], int, float]:
    pieces = []
    while len(piece := file.read(file.samplerate, dtype="float32", always_2d=True)):
        pieces.append(piece)
    samples = np.concatenate(pieces) if pieces else np.empty((0, 1), np.float32)
    first, wanted = window.frames(len(samples), file.samplerate)
    return samples[first : first + wanted], file.samplerate, first / file.samplerate


def _readable(name: Any, first: int, count: int) -> float:
    """Seconds up to which a file can be read, when reading `count` frames from `first` fails; by tenths."""
    for start in (first, 0):  # nothing at `first`: it lies behind the end itself
        if not isinstance(name, str):
            name.seek(0)
        with soundfile.SoundFile(name) as file:  # anew: a decoder that has failed stays where it is
            place = start
            with contextlib.suppress(soundfile.LibsndfileError):
                file.seek(start)
                while place < first + count and (read := len(file.read(file.samplerate // 10))):
                    place += read
            if place > start:
                return float(place / file.samplerate)
    return 0.0


def _refuse_cut(stream: BinaryIO, file: Any, path: str) -> None:
    """Refuse a file that libsndfile takes for as long as it is.

    Raises:
        ExcludedError: truncated.
    """
    seconds = file.frames / file.samplerate
    if file.format == "OGG" and (why := ogg_is_cut(stream)) is not None:
        raise ExcludedError(Reason.TRUNCATED, f"{path}: {seconds:.2f} s could be read; {why}")
    sizes = sample_bytes(stream) if file.format in _CHUNKED else None
    if sizes is not None and sizes.there < sizes.stated:
        stated = seconds * sizes.stated / max(sizes.there, 1)
        if stated - seconds > _END_SLACK_S:
            raise ExcludedError(Reason.TRUNCATED, f"{path}: {seconds:.2f} s could be read of {stated:.2f} s")


def _by_av(
    stream: BinaryIO, head: bytes, path: str, window: Window, first_error: str
) -> tuple[npt.NDArray[np.float32], int, float]:
    try:
        return _from_container(stream, head, path, window)
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, MemoryError):
            raise
        if head[4:8] == b"ftyp" and "moov" not in _top_boxes(stream):
            detail = "0.00 s could be read: the index that stands at an MP4 file's end (moov) is missing"
            raise ExcludedError(Reason.TRUNCATED, f"{path}: {detail}") from error
        if audio_kind(head) is None:
            raise ExcludedError(Reason.NOT_AUDIO, f"{path}: no decoder knows it; it is: {kind_of(head)}") from error
        detail = f"{path}: damaged from its start ({_told(error)}; {first_error}); it is: {kind_of(head)}"
        raise ExcludedError(Reason.DECODE_ERROR, detail) from error


def _from_container(
    stream: BinaryIO, head: bytes, path: str, window: Window
) -> tuple[npt.NDArray[np.float32], int, float]:
    for seek in (True, False):
        stream.seek(0)
        with av.open(stream, "r", options=OF_A_STREAM) as container:
            if not container.streams.audio:
                raise ExcludedError(Reason.NOT_AUDIO, f"{path}: no audio stream; it is: {kind_of(head)}")
            audio = _ContainerAudio(container)
            try:
                found = audio.window(window, path, seek=seek)
            except _NotOnTheGridError:
                continue
            if found is None:
                break
            if head[:4] == b"OggS" and (why := ogg_is_cut(stream)) is not None:
                detail = f"{audio.stated(0.0) or 0.0:.2f} s could be read; {why}"
                raise ExcludedError(Reason.TRUNCATED, f"{path}: {detail}")
            return found
    reason = Reason.NOT_AUDIO if audio_kind(head) is None else Reason.DECODE_ERROR
    raise ExcludedError(reason, f"{path}: the decoder gives no sound; it is: {kind_of(head)}")


_Placed = tuple[float | None, npt.NDArray[np.float32]]


class _NotOnTheGridError(Exception):
    """Where a decoder stands after a seek cannot be told to the sample."""


class _ContainerAudio:
    """The first audio stream of a container, placed to the sample.

    The place of a frame is known from its time stamp. Where stamps are coarser than samples (Matroska: 1 ms),
    frames of one size lie on a grid that the first two give; what has frames of several sizes is decoded from its
    start.
    """

    def __init__(self, container: Any) -> None:
        self._container = container
        self._audio = container.streams.audio[0]
        self.rate = int(self._audio.rate or 0)  # 0: nobody knows before the first frame

    def stated(self, late_s: float) -> float | None:
        """Where the sound ends, seconds from the container's start, as the container states it.

        Args:
            late_s: where it starts.
        """
        if self._container.format.name in _UNSTATED:
            return None
        audio = self._audio
        tagged = _DURATION.fullmatch(audio.metadata.get("DURATION", ""))  # Matroska's: where one stream ends
        if tagged and (late_s or not audio.duration):
            end = int(tagged[1]) * 3600 + int(tagged[2]) * 60 + float(tagged[3])
            return end - start_of(self._container)
        if audio.duration and audio.time_base:
            return late_s + float(audio.duration * audio.time_base)
        if len(self._container.streams) > 1:  # the whole container's may be another stream's
            return None
        return self._container.duration / av.time_base if self._container.duration else None

    def _frames(self) -> Iterator[_Placed]:
        """Time stamp and float32 (channels, samples) of each frame from where the demuxer stands."""
        resampler: Any = None
        for frame in self._container.decode(self._audio):
            if resampler is None:
                self.rate = self.rate or frame.sample_rate
                resampler = av.AudioResampler(format="fltp", rate=self.rate)
            pieces = [piece.to_ndarray().astype(np.float32, copy=False) for piece in resampler.resample(frame)]
            if pieces:
                yield frame.time, pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)

    def window(self, window: Window, path: str, *, seek: bool) -> tuple[npt.NDArray[np.float32], int, float] | None:
        """Samples (frames,) or (frames, channels), their rate, and the second at which they start; None for none.

        Raises:
            _NotOnTheGridError: seeking gives no exact place.
            ExcludedError: it ends early.
        """
        frames = self._frames()
        opening = next(frames, None)
        if opening is None:
            return None
        rate = self.rate
        late = begin = self._late(opening[0])
        stated = self.stated(late / rate)
        first, wanted = (0, None) if stated is None else window.frames(round(stated * rate), rate)
        if seek and first - late > (2 * _RUN_UP_S) * rate:
            begin, frames = self._after_seek(first - late, opening, frames)
            begin += late
        else:
            frames = itertools.chain([opening], frames)
        pieces: list[npt.NDArray[np.float32]] = []
        have = 0
        stopped = ""
        try:
            for _, samples in frames:
                pieces.append(samples)
                have += samples.shape[1]
                if wanted is not None and begin + have >= first + wanted:
                    break
        except av.FFmpegError as error:
            if not pieces:
                raise
            stopped = _told(error)
        if not pieces:
            return None
        if stopped and wanted is None:
            read = (begin + have) / rate
            raise ExcludedError(
                Reason.DECODE_ERROR, f"{path}: the decoder stopped after second {read:.2f}: {stopped}"
            )
        joined = np.concatenate(pieces, axis=1)
        if wanted is None:  # no length is stated: all was decoded, and the window is cut from what came
            first, wanted = window.frames(begin + joined.shape[1], rate)
        silent = min(wanted, max(0, begin - first))
        skip = max(0, first - begin)
        samples = joined[:, skip : skip + wanted - silent]
        if silent:
            samples = np.pad(samples, ((0, 0), (silent, 0)))
        if wanted - samples.shape[1] > _END_SLACK_S * rate:
            read = (begin + joined.shape[1]) / rate
            raise ExcludedError(Reason.TRUNCATED, f"{path}: {read:.2f} s could be read of {stated or 0.0:.2f} s")
        return samples.T if samples.shape[0] > 1 else samples[0], rate, first / rate

    def _late(self, stamp: float | None) -> int:
        """Samples from the start of the container to the first of the sound, whose time stamp is given."""
        base = self._audio.time_base
        if stamp is None or not base or pictures_of(self._container) is None:
            return 0
        late_s = stamp - start_of(self._container)
        return round(late_s * self.rate) if late_s > base else 0

    def _after_seek(
        self, first: int, opening: _Placed, following: Iterator[_Placed]
    ) -> tuple[int, Iterator[_Placed]]:
        """The sample that a run-up before `first` begins at, and the frames from there on.

        Args:
            first: counted from the first of the sound.
            opening, following: the frame that it starts with, and those behind it.
        """
        rate, base = self.rate, self._audio.time_base
        stamp, opened = opening
        _, second = next(following, (None, None))
        if stamp is None or second is None or not base:
            raise _NotOnTheGridError
        place = stamp + first / rate - _RUN_UP_S
        self._container.seek(int(place / base), stream=self._audio, backward=True)
        frames = self._frames()
        found, samples = next(frames, (None, None))
        if found is None or samples is None or found <= stamp:
            raise _NotOnTheGridError
        begin = round((found - stamp) * rate)
        if base * rate > 1:
            size, offset = second.shape[1], opened.shape[1]
            snapped = offset + round((begin - offset) / size) * size
            # Two stamps, each off by half a unit at most.
            if samples.shape[1] != size or abs(snapped - begin) > base * rate + 1 or 2 * base * rate >= size:
                raise _NotOnTheGridError
            begin = snapped
        if begin > first:
            raise _NotOnTheGridError
        return begin, itertools.chain([(found, samples)], frames)


def _top_boxes(stream: BinaryIO) -> set[str]:
    """The names of an MP4 file's outermost boxes."""
    size = stream.seek(0, 2)
    names: set[str] = set()
    place = 0
    while place + 8 <= size:
        stream.seek(place)
        length, name = int.from_bytes(stream.read(4), "big"), stream.read(4)
        if length == 1:
            length = int.from_bytes(stream.read(8), "big")
        if length and place + length > size and name == b"moov":
            break  # begun, and cut off
        names.add(name.decode("latin-1"))
        if length < 8:
            break
        place += length
    return names


def _told(error: BaseException) -> str:
    """What a decoder says, without the path on this machine that it says it of."""
    told = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(told).split()) or type(error).__name__
