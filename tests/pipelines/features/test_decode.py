"""Decoding: the wanted seconds, exact to the sample, of every format; what is wrong is said by its reason."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr

from pipelines.features.decode import ExcludedError, Window, decode
from schemas.reasons import Reason
from schemas.store import Store

RATE = 44_100
SECONDS = 12.0


def music(channels: int = 2) -> npt.NDArray[np.float32]:
    """Chirps and noise: no part sounds like another, so a wrong place shows."""
    t = np.arange(int(RATE * SECONDS)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t)) * 0.02
    left = 0.4 * np.sin(2 * np.pi * (200 * t + 60 * t**2)) + noise
    right = 0.3 * np.sin(2 * np.pi * (900 * t - 20 * t**2)) + noise
    return np.stack([left, right][:channels], axis=1).astype(np.float32)


def write(folder: Path, suffix: str, sound: npt.NDArray[np.float32]) -> str:
    path = folder / f"sound.{suffix}"
    if suffix == "m4a":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=RATE, layout="stereo")
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    elif suffix == "opus":
        even = soxr.resample(sound, RATE, 48_000)
        soundfile.write(path, even, 48_000, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, sound, RATE)
    return path.name


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
@pytest.mark.parametrize(("position", "seconds"), [("centre", 3.0), ("start", 2.5), ("centre", None)])
def test_the_window_is_what_a_whole_decode_holds_there(
    tmp_path: Path, suffix: str, position: str, seconds: float | None
) -> None:
    store, name = Store(str(tmp_path)), write(tmp_path, suffix, music())
    native = 48_000 if suffix == "opus" else RATE
    whole, _ = decode(store, name, Window(None), native)
    part, start_s = decode(store, name, Window(seconds, position), native)
    first = round(start_s * native)
    assert len(part) == (len(whole) if seconds is None else round(seconds * native))
    if seconds is not None:
        expected = (len(whole) - len(part)) // 2 if position == "centre" else 0
        assert abs(first - expected) <= 1
    error = np.abs(part - whole[first : first + len(part)])
    if suffix == "m4a":
        # AAC fills bands with noise of the decoder's own, so two decodes differ; their place must not.
        shifts = [s for s in range(-6, 7) if 0 <= first + s <= len(whole) - len(part)]
        misses = {s: float(np.square(part - whole[first + s : first + s + len(part)]).mean()) for s in shifts}
        assert min(misses, key=lambda s: misses[s]) == 0
        assert misses[0] < 2e-4
    else:
        assert error.max() < 2e-4


@pytest.mark.parametrize(("suffix", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.1), ("mp3", 0.1)])
def test_mono_is_the_mean_and_time_is_kept(tmp_path: Path, suffix: str, tolerance: float) -> None:
    sound = music()
    samples, start_s = decode(Store(str(tmp_path)), write(tmp_path, suffix, sound), Window(4.0), RATE)
    first = round(start_s * RATE)
    expected = sound.mean(axis=1)[first : first + len(samples)]
    assert np.sqrt(np.mean((samples - expected) ** 2)) < tolerance


def test_resampling_is_soxr_hq(tmp_path: Path) -> None:
    sound = music(1)
    samples, _ = decode(Store(str(tmp_path)), write(tmp_path, "wav", sound), Window(None), 16_000)
    stored = np.round(sound[:, 0] * 32768) / 32768
    expected = soxr.resample(stored.astype(np.float32), RATE, 16_000, quality="HQ")
    assert np.abs(samples - expected).max() < 1e-4


def test_a_clip_of_a_longer_recording_is_cut_from_its_place(tmp_path: Path) -> None:
    sound = music(1)
    window = Window(2.0, "centre", offset_s=4.0, limit_s=10.0)
    samples, start_s = decode(Store(str(tmp_path)), write(tmp_path, "wav", sound), window, RATE)
    assert start_s == pytest.approx(6.0, abs=1e-4)
    assert np.abs(samples - sound[6 * RATE : 8 * RATE, 0]).max() < 1e-4


def reason_of(folder: Path, name: str, window: Window | None = None) -> ExcludedError:
    with pytest.raises(ExcludedError) as raised:
        decode(Store(str(folder)), name, window or Window(None), 16_000)
    assert name in raised.value.detail
    return raised.value


@pytest.mark.parametrize("suffix", ["flac", "wav", "m4a"])
def test_a_file_that_ends_early_is_truncated(tmp_path: Path, suffix: str) -> None:
    name = write(tmp_path, suffix, music())
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    try:
        samples, _ = decode(Store(str(tmp_path)), name, Window(None), RATE)
    except ExcludedError as excluded:
        assert excluded.reason in (Reason.TRUNCATED, Reason.NOT_AUDIO, Reason.DECODE_ERROR)
        assert name in excluded.detail
    else:  # libsndfile takes a WAV for as long as it is
        assert suffix == "wav"
        assert len(samples) < SECONDS * RATE * 0.65


def test_the_end_of_a_cut_flac_is_said_in_seconds(tmp_path: Path) -> None:
    name = write(tmp_path, "flac", music())
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason_of(tmp_path, name).reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    "content", [b"", b"hello, I am no music\n" * 50, bytes(range(256)) * 40, b"ID3\x04" + b"\0" * 99]
)
@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "wav", "m4a"])
def test_what_is_no_audio_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"x.{suffix}").write_bytes(content)
    assert reason_of(tmp_path, f"x.{suffix}").reason in (Reason.NOT_AUDIO, Reason.DECODE_ERROR)


def test_a_missing_file_and_a_way_out_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "source"
    inside.mkdir()
    assert reason_of(inside, "gone.wav").reason is Reason.MISSING_FILE
    write(tmp_path, "wav", music())
    (inside / "link.wav").symlink_to(tmp_path / "sound.wav")
    assert reason_of(inside, "link.wav").reason is Reason.OUTSIDE_SOURCE


def test_a_file_in_memory_decodes_as_on_disk(tmp_path: Path) -> None:
    for suffix in ("flac", "mp3"):
        name = write(tmp_path, suffix, music())
        memory = Store("memory://decode")
        memory.write_bytes(name, (tmp_path / name).read_bytes())
        here, _ = decode(Store(str(tmp_path)), name, Window(3.0), 16_000)
        there, _ = decode(memory, name, Window(3.0), 16_000)
        assert np.array_equal(here, there)
