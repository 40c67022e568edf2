"""A remote file whose store fails while it is read is not read: that says nothing of the file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import botocore.exceptions  # type: ignore[import-untyped]
import fsspec
import numpy as np
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.features.decode import ExcludedError, Window, decode
from pipelines.features.video_frames import VideoFrames
from pipelines.synthesis.videos import encode_video, plan_video
from schemas.reasons import FAULTS_OF_THE_MACHINE, Reason
from schemas.store import Store

# libsndfile reads by callbacks, which can only tell of what is raised in them; a build keeps decoders quiet.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FAILURES: dict[str, Callable[[], Exception]] = {
    "aiohttp": lambda: aiohttp.ClientPayloadError("Response payload is not completed"),
    "botocore": lambda: botocore.exceptions.ReadTimeoutError(endpoint_url="https://store.invalid"),
}


class _Failing(MemoryFileSystem):  # type: ignore[misc]
    """Fails at reads from a byte on, so many times."""

    protocol = "failing"
    store: dict[str, Any] = {}  # noqa: RUF012 - as the class that it is
    pseudo_dirs = [""]  # noqa: RUF012
    at, times = 0, 0
    failure = staticmethod(FAILURES["aiohttp"])

    def _open(self, path: str, mode: str = "rb", **how: Any) -> Any:
        file = super()._open(path, mode, **how)
        return file if mode != "rb" else _Read(file.getvalue())

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix("failing://").strip("/")


class _Read(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if _Failing.times and self.tell() >= _Failing.at:
            _Failing.times -= 1
            raise _Failing.failure()
        return super().read(size)


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    fsspec.register_implementation("failing", _Failing, clobber=True)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Store]:
    sound, video = tmp_path / "a.flac", tmp_path / "a.mp4"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 20)
    soundfile.write(sound, noise.astype(np.float32), 16_000)
    encode_video(plan_video("music_video", 0, 36.0, 12, (160, 90)), video, sound_codec="flac")
    store = Store("failing://music")
    for path in (sound, video):
        store.write_bytes(path.name, path.read_bytes())
    store.write_bytes("b.mp4", video.read_bytes())
    yield store
    _Failing.times = 0


def told(work: Callable[[], Any]) -> tuple[Reason, str]:
    with pytest.raises(ExcludedError) as raised:
        work()
    return raised.value.reason, raised.value.detail


@pytest.mark.parametrize("client", FAILURES)
@pytest.mark.parametrize("times", [1, 10_000])
@pytest.mark.parametrize(("name", "at"), [("a.flac", 0), ("a.flac", 200_000), ("a.mp4", 0), ("a.mp4", 60_000)])
def test_sound(failing: Store, client: str, times: int, name: str, at: int) -> None:
    """Also when the store answers again a moment later: the decoder took it for a file that ends."""
    whole, _ = decode(failing, name, Window(None), 16_000)
    assert len(whole)
    _Failing.at, _Failing.times, _Failing.failure = at, times, staticmethod(FAILURES[client])
    reason, detail = told(lambda: decode(failing, name, Window(None), 16_000))
    assert reason is Reason.UNREADABLE and reason in FAULTS_OF_THE_MACHINE, (reason, detail)
    assert name in detail and "store" in detail, detail


@pytest.mark.parametrize("client", FAILURES)
@pytest.mark.parametrize(("times", "at"), [(1, 0), (10_000, 0), (1, 60_000), (10_000, 60_000)])
def test_pictures(failing: Store, client: str, times: int, at: int) -> None:
    seconds = np.arange(0.0, 35.0)

    def shown() -> int:
        with VideoFrames(failing, "a.mp4") as frames:
            return sum(1 for _ in frames.at(seconds))

    assert shown() == len(seconds)
    _Failing.at, _Failing.times, _Failing.failure = at, times, staticmethod(FAILURES[client])
    reason, detail = told(shown)
    assert reason is Reason.UNREADABLE, (reason, detail)
