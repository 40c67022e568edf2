"""The frames of a video that are shown at given seconds; what lies between is decoded only where it must be.

Seconds are counted from the start of the container, as those of its sound are.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import av
import numpy as np
import numpy.typing as npt

from pipelines.features.containers import OF_A_STREAM, frames_from, pictures_of, start_of
from pipelines.features.decode import ExcludedError
from schemas.reasons import Reason
from schemas.store import Store

# Seeking pays from so many seconds on; nearer, decoding on reaches the place sooner.
_SEEK_FROM_S = 12.0
_TIMING = 1e-4


class VideoFrames:
    """An open video. Use it in a `with`."""

    def __init__(self, store: Store, uri: str) -> None:
        self._store, self._uri = store, uri

    def __enter__(self) -> VideoFrames:
        uri, store = self._uri, self._store
        if not store.inside(uri):
            raise ExcludedError(Reason.OUTSIDE_SOURCE, f"{uri} leads out of the source's folder")
        try:
            self._stream = store.open(uri)
        except FileNotFoundError as error:
            raise ExcludedError(Reason.MISSING_FILE, f"{uri} is not there") from error
        except OSError as error:
            raise ExcludedError(Reason.UNREADABLE, f"{uri}: {error.strerror or error}") from error
        try:
            self._container = av.open(self._stream, "r", options=OF_A_STREAM)
        except (av.FFmpegError, ValueError) as error:
            self._stream.close()
            self._refuse_failed(error)
            raise ExcludedError(Reason.NOT_VIDEO, f"{uri}: {error}") from error
        except OSError as error:
            self._stream.close()
            raise self._unread(error) from error
        video = pictures_of(self._container)
        if video is None:
            self._container.close()
            self._stream.close()
            raise ExcludedError(Reason.NO_VIDEO_STREAM, f"{uri}: no pictures")
        self._video = video
        self._start_s = start_of(self._container)
        # The tracks of a shard share the cores; a second level of threads would gain nothing.
        self._video.codec_context.thread_count = 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()
        self._stream.close()

    @property
    def end_s(self) -> float:
        """Where the pictures end, seconds, as the header says."""
        video = self._video
        if video.duration and video.time_base:
            return float((video.duration + (video.start_time or 0)) * video.time_base) - self._start_s
        return (self._container.duration or 0) / av.time_base

    def at(self, seconds: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.uint8]]:
        """The frame shown at each second, RGB uint8 (height, width, 3); the first one before the first is shown.

        Args:
            seconds: rising.

        Raises:
            ExcludedError: the video ends before, or cannot be decoded.
        """
        if not len(seconds):
            return
        shown: av.VideoFrame | None = None
        shown_at = end = -1.0
        given = 0
        picture: npt.NDArray[np.uint8] | None = None
        try:
            for frame in self._from(float(seconds[0])):
                at = 0.0 if frame.time is None else frame.time - self._start_s
                while shown is not None and given < len(seconds) and seconds[given] < at - _TIMING:
                    picture = _rgb(shown) if picture is None else picture
                    yield picture
                    given += 1
                if given == len(seconds):
                    return
                shown, shown_at, picture = frame, at, None
                end = at + float((frame.duration or 0) * (frame.time_base or 0))
        except av.FFmpegError as error:
            self._refuse_failed(error)
            where = f"{self._uri}: the decoder stopped at second {max(0.0, shown_at):.2f}: {error}"
            raise ExcludedError(Reason.DECODE_ERROR, where) from error
        except OSError as error:
            raise self._unread(error) from error
        # The last frame is shown until the pictures end, and a little longer than a header may round.
        while shown is not None and given < len(seconds) and seconds[given] < max(end, shown_at + 0.1) + _TIMING:
            picture = _rgb(shown) if picture is None else picture
            yield picture
            given += 1
        if given < len(seconds):
            self._refuse_failed(None)
            wanted = f"second {float(seconds[given]):.2f} is wanted"
            raise ExcludedError(
                Reason.TRUNCATED, f"{self._uri}: the pictures end at {max(0.0, end):.2f} s; {wanted}"
            )

    def _refuse_failed(self, error: Exception | None) -> None:
        """Refuse a file whose store failed while it was decoded: to a decoder that is a file that ends."""
        failed: OSError | None = getattr(self._stream, "failed", None)
        if failed is not None:
            raise self._unread(failed) from error

    def _unread(self, error: OSError) -> ExcludedError:
        return ExcludedError(Reason.UNREADABLE, f"{self._uri}: {error.strerror or error}")

    def _from(self, second: float) -> Iterator[av.VideoFrame]:
        if second > _SEEK_FROM_S:
            return frames_from(self._container, self._video, second - 1.0)
        return self._container.decode(self._video)


def _rgb(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
