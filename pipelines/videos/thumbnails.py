"""A video looked through once: small frames with their times, and where its sound and its pictures end.

Cheap by design: one thread, no deblocking, frames on which no other rests left out of decoding, and every other
frame scaled down before anything looks at it. Of a video that would still cost too much (high and dense ones do)
only some of the groups of pictures are decoded, spread evenly, and of the others the keyframe they start with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from pipelines.features.containers import OF_A_PATH, pictures_of, start_of

WIDTH, HEIGHT = 128, 72
# Codecs whose decoders can leave out the finest of their transform.
_SCALABLE = frozenset({"mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "h263"})
_SCALED_FROM = 480
_MOST_DAMAGED_SHARE = 0.05
# Measured: seconds of one core for a million pixels and for a million bits, with room for slower machines.
FOR_DECODING = 0.75
_SECONDS_A_MEGAPIXEL, _SECONDS_A_MEGABIT = 0.0018, 0.017

Thumbnail = npt.NDArray[np.uint8]


class NotAVideoError(Exception):
    """No decoder knows the file."""


class DamagedError(Exception):
    """The file breaks off or is full of holes."""


@dataclass
class Streams:
    """What a file says of itself, and what reading it to its end has shown.

    Attributes:
        has_audio, has_video: streams that are music and pictures (the cover of an album is none).
        fps: frames a second, on average. width, height: pixels.
        stated_s: seconds, as the header says; None when it does not.
        audio_s, video_s: where the last of each ends, seconds from the start of the file.
        bits: of the pictures a second.
        damaged: why packets could not be decoded, the first of them; `lost` how many of `packets`.
    """

    has_audio: bool = False
    has_video: bool = False
    fps: float = 0.0
    width: int = 0
    height: int = 0
    stated_s: float | None = None
    audio_s: float = 0.0
    video_s: float = 0.0
    bits: float = 0.0
    packets: int = 0
    lost: int = 0
    damaged: str = ""

    def cost(self) -> float:
        """About how many seconds of one core it takes to decode a second of the pictures."""
        megapixels = self.width * self.height * self.fps / 1e6
        return max(1e-6, _SECONDS_A_MEGAPIXEL * megapixels + _SECONDS_A_MEGABIT * self.bits / 1e6)


def streams_of(path: Path) -> Streams:
    """What the file has.

    Raises:
        NotAVideoError: no decoder knows it.
    """
    with _opened(path) as container:
        return _described(container)


def audio_end(path: Path) -> float:
    """Where the sound ends, seconds; packets are read and nothing is decoded.

    Raises:
        NotAVideoError: no decoder knows the file.
    """
    with _opened(path) as container:
        end, start_s = 0.0, start_of(container)
        try:
            for packet in container.demux(container.streams.audio[0]):
                end = max(end, _end_of(packet) - start_s)
        except av.FFmpegError as error:
            raise DamagedError(f"the sound cannot be read on after {end:.2f} s: {error}") from error
    return end


def thumbnails(
    path: Path, frame_skip: int, found: Streams, max_cost: float = np.inf
) -> Iterator[tuple[float, Thumbnail, bool]]:
    """Second, picture, BGR uint8 (72, 128, 3), and whether some were left out before it, of each frame looked at.

    Args:
        frame_skip: frames left out between two; 0 decodes and gives every frame.
        max_cost: seconds of one core that a second of video may take, as estimated by its size and density.
        found: filled in while the file is read, whole when the iterator ends.

    Raises:
        NotAVideoError: no decoder knows the file.
        DamagedError: too much of it cannot be decoded.
    """
    with _opened(path) as container:
        described = _described(container)
        found.__dict__.update(described.__dict__)
        stream = pictures_of(container)
        if stream is None:
            return
        start_s = start_of(container)
        context = stream.codec_context
        context.thread_count = 1
        options = {"skip_loop_filter": "all"} if frame_skip else {}
        if frame_skip and found.height >= _SCALED_FROM and stream.codec.name in _SCALABLE:
            options["lowres"] = "1"
        context.options = options
        if frame_skip:
            context.skip_frame = "NONREF"
        wanted = [stream, *container.streams.audio[:1]]
        shrink = VideoReformatter()
        step = (frame_skip + 1) / found.fps
        following = last = -1.0
        parts = _Parts(min(1.0, FOR_DECODING * max_cost / found.cost()), start_s)
        try:
            for packet in container.demux(*wanted):
                if packet.stream.type == "audio":
                    found.audio_s = max(found.audio_s, _end_of(packet) - start_s)
                    continue
                found.video_s = max(found.video_s, _end_of(packet) - start_s)
                found.packets += 1
                if not parts.wanted(packet):
                    continue
                try:
                    decoded = packet.decode()
                except av.FFmpegError as error:
                    found.lost += 1
                    found.damaged = found.damaged or str(error)
                    continue
                for frame in decoded:
                    if not isinstance(frame, av.VideoFrame):
                        continue
                    if frame.time is None:
                        continue
                    second = frame.time - start_s
                    if second < following - 0.5 / found.fps:
                        continue
                    following = (second if following < 0 else following) + step
                    if following <= second:
                        following = second + step
                    small = shrink.reformat(frame, WIDTH, HEIGHT, "bgr24", interpolation="AREA")
                    yield second, np.asarray(small.to_ndarray(), np.uint8), parts.gap(last, second)
                    last = second
        except av.FFmpegError as error:
            raise DamagedError(f"cannot be read on after {found.video_s:.2f} s: {error}") from error
        if found.lost > _MOST_DAMAGED_SHARE * found.packets:
            raise DamagedError(f"{found.lost} of {found.packets} packets cannot be decoded: {found.damaged}")


class _Parts:
    """Which packets of a video are decoded: all, or those of some groups of pictures and every keyframe."""

    def __init__(self, share: float, start_s: float) -> None:
        self._share, self._start_s = share, start_s
        self._decoding = True
        self._since = 0.0
        self._taken = self._passed = 0.0
        self._gaps: list[float] = []

    def wanted(self, packet: Any) -> bool:
        """Whether to decode the next packet."""
        if self._share >= 1 or packet.pts is None:
            return True
        if packet.is_keyframe:
            at = float(packet.pts * packet.time_base) - self._start_s
            length = max(0.0, at - self._since)
            self._passed += length
            self._taken += length if self._decoding else 0.0
            self._since = at
            self._decoding = self._taken <= self._share * self._passed
            if not self._decoding:
                self._gaps.append(at)
            return True
        return self._decoding

    def gap(self, before: float, second: float) -> bool:
        """Whether something between two frames was left out."""
        return any(before - 1e-6 <= start < second - 1e-6 for start in self._gaps[-8:])


def _opened(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path), "r", options=OF_A_PATH)
    except (av.FFmpegError, ValueError, OSError) as error:
        reason = "zero bytes" if path.exists() and not path.stat().st_size else str(error)
        raise NotAVideoError(reason) from error


def _described(container: av.container.InputContainer) -> Streams:
    stream = pictures_of(container)
    found = Streams(has_audio=bool(container.streams.audio), has_video=stream is not None)
    if container.duration:
        found.stated_s = container.duration / av.time_base
    if stream is not None:
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        found.fps = float(rate) if rate else 25.0
        found.width, found.height = stream.width, stream.height
        seconds = found.stated_s or 0.0
        found.bits = float(
            stream.bit_rate or (8 * container.size / seconds if seconds and container.size > 0 else 0)
        )
    return found


def _end_of(packet: Any) -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)
