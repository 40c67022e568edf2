"""A remote file whose store fails while it is read is not read: that says nothing of the file."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.features.base import feature_of
from pipelines.features.decode import ExcludedError, Window, decode
from pipelines.features.isolation import raise_error
from pipelines.features.media import MediaRef
from pipelines.features.nursery import error_as_json
from pipelines.features.video_frames import VideoFrames
from pipelines.synthesis.videos import encode_video, plan_video
from schemas.errors import StoreFailedError
from schemas.manifest import FeatureSection
from schemas.reasons import FAULTS_OF_THE_MACHINE, Reason
from schemas.store import Store
from tests.failing_store import FAILURES, FailingFiles

# libsndfile reads by callbacks, which can only tell of what is raised in them; a build keeps decoders quiet.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


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
    FailingFiles.mend()


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
    FailingFiles.plant(client, at, times)
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
    FailingFiles.plant(client, at, times)
    reason, detail = told(shown)
    assert reason is Reason.UNREADABLE, (reason, detail)


@pytest.mark.parametrize("client", FAILURES)
@pytest.mark.parametrize("at", [0, 1000])
def test_published_arrays(failing: Store, client: str, at: int) -> None:
    values = np.zeros((48, 50_000), np.float32)
    buffer = io.BytesIO()
    np.save(buffer, values)
    failing.write_bytes("a.npy", buffer.getvalue())
    section = FeatureSection.model_validate(
        {"kind": "precomputed", "layout": "custom", "pattern": "{track_id}.npy", "preset": "melon"}
    )
    feature = feature_of("mel", section, "m.yaml")
    (clip,) = feature.clips(failing, MediaRef("a", "a.npy"))
    assert clip.data.shape == (50_000, 48)
    FailingFiles.plant(client, at)
    reason, detail = told(lambda: feature.clips(failing, MediaRef("a", "a.npy")))
    assert reason is Reason.UNREADABLE, (reason, detail)
    assert detail.startswith("a.npy: the store did not"), detail


def test_any_feature_whose_decoder_lets_the_failure_out() -> None:
    """It is told by another process; a fault of the machine is one that `--retry` tries again."""
    error = StoreFailedError(errno.EIO, "the store did not do what was asked", "s3://bucket/a.npy")
    reason, detail = told(lambda: raise_error(error_as_json(error), "a.npy"))
    assert reason in FAULTS_OF_THE_MACHINE, (reason, detail)
    assert detail == "a.npy: the store did not do what was asked"
