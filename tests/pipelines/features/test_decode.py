"""Decoding: the wanted seconds, exact to the sample, of every format; what is wrong is said by its reason."""

from __future__ import annotations

import errno
import io
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

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


CONTAINERS = {
    "lame.mp3": "libmp3lame",
    "aac.m4a": "aac",
    "alac.m4a": "alac",
    "opus.opus": "libopus",
    "opus.mkv": "libopus",
    "opus.webm": "libopus",
    "opus.mp4": "libopus",
    "mp3.mkv": "libmp3lame",
    "aac.mkv": "aac",
    "aac.aac": "aac",
    "flac.mkv": "flac",
    "flac.oga": "flac",
    "wma.wma": "wmav2",
    "pcm.mov": "pcm_s16le",
    "vorbis.mkv": "vorbis",
    "video.mp4": "aac",
    "video.mkv": "aac",
}
# The encoder's delay is stated by these, so the first sample decoded is the first that was encoded.
ALIGNED = sorted(set(CONTAINERS) - {"aac.aac", "wma.wma"})


def native(name: str) -> int:
    return 48_000 if name.startswith("opus") else RATE


def contain(folder: Path, name: str) -> str:
    """A file as FFmpeg's own encoders and muxers write it; `video.…` has pictures beside the sound, and longer."""
    path, rate = folder / name, native(name)
    sound = soxr.resample(music(), RATE, rate).astype(np.float32)
    with av.open(str(path), "w") as container:
        if CONTAINERS[name] == "vorbis":  # FFmpeg's wheel has no encoder worth the name: libsndfile's packets
            soundfile.write(folder / "vorbis.ogg", sound, rate)
            with av.open(str(folder / "vorbis.ogg")) as source:
                copied = container.add_stream_from_template(source.streams.audio[0])
                for packet in source.demux(source.streams.audio[0]):
                    if packet.dts is not None:
                        packet.stream = copied
                        container.mux(packet)
            return name
        pictures: Any = container.add_stream("mpeg4", rate=10) if name.startswith("video") else None
        stream: Any = container.add_stream(CONTAINERS[name], rate=rate, layout="stereo")
        stream.bit_rate = 160_000
        if pictures is not None:
            pictures.width = pictures.height = 32
            for number in range(int(SECONDS + 2) * 10):
                picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
                picture.pts, picture.time_base = number, Fraction(1, 10)
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        coder = stream.codec_context
        cutter: Any = av.AudioResampler(coder.format, "stereo", rate, frame_size=coder.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for piece in [*cutter.resample(frame), *cutter.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return name


def lag(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> int:
    """By how many samples `one` comes later than `other`."""
    size = 1 << 17
    spectra = [np.fft.rfft(sound[20_000 : 20_000 + size], 2 * size) for sound in (one, other)]
    place = int(np.argmax(np.fft.irfft(spectra[0] * np.conj(spectra[1]))))
    return place if place < size else place - 2 * size


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_seek_in_a_container_lands_on_the_sample(tmp_path: Path, name: str) -> None:
    store, rate = Store(str(tmp_path)), native(contain(tmp_path, name))
    whole, _ = decode(store, name, Window(None), rate)
    for window in (Window(3.0), Window(1.0, "start", offset_s=7.3), Window(0.5, "start", offset_s=11.2)):
        part, start_s = decode(store, name, window, rate)
        first = round(start_s * rate)
        assert len(part) == round((window.seconds or 0) * rate)
        noise = 0.06 if CONTAINERS[name] == "aac" else 1e-6  # AAC fills bands with noise of the decoder's own
        misses = {
            shift: float(np.abs(part - whole[first + shift : first + shift + len(part)]).max())
            for shift in range(-3, 4)
        }
        assert min(misses, key=lambda shift: misses[shift]) == 0
        assert misses[0] < noise


@pytest.mark.parametrize("name", ALIGNED)
def test_the_delay_that_a_header_states_is_taken_off(tmp_path: Path, name: str) -> None:
    rate = native(contain(tmp_path, name))
    sound = soxr.resample(music(), RATE, rate).mean(axis=1)
    whole, _ = decode(Store(str(tmp_path)), name, Window(None), rate)
    assert lag(whole, sound) == 0
    assert abs(len(whole) - len(sound)) <= 1024  # Matroska states no padding at the end


@pytest.mark.parametrize("suffix", ["flac", "wav", "aiff", "mp3", "ogg", "opus", "m4a"])
@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("seconds", [None, 3.0])
def test_a_file_that_ends_early_is_truncated_and_says_how_much_was_read(
    tmp_path: Path, suffix: str, share: float, seconds: float | None
) -> None:
    name = write(tmp_path, suffix, music())
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    excluded = reason_of(tmp_path, name, Window(seconds))
    assert excluded.reason is Reason.TRUNCATED
    found = re.search(r": (\d+\.\d\d) s could be read", excluded.detail)
    assert found
    if suffix == "m4a":  # without the index at its end nothing can be
        assert float(found[1]) == 0 and "moov" in excluded.detail
    else:  # a variable bit rate spreads seconds unevenly over bytes
        assert float(found[1]) == pytest.approx(SECONDS * share, abs=1.3)


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_an_ogg_file_cut_between_two_pages_is_truncated(tmp_path: Path, suffix: str) -> None:
    name = write(tmp_path, suffix, music())
    path = tmp_path / name
    content = path.read_bytes()
    pages = [match.start() for match in re.finditer(b"OggS", content)]
    path.write_bytes(content[: pages[len(pages) * 2 // 3]])
    excluded = reason_of(tmp_path, name, Window(3.0))
    assert excluded.reason is Reason.TRUNCATED
    assert "s could be read; the page that ends its stream is missing" in excluded.detail


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_a_file_whose_wanted_seconds_are_there_is_kept(tmp_path: Path, suffix: str) -> None:
    name = write(tmp_path, suffix, music())
    whole, _ = decode(Store(str(tmp_path)), name, Window(2.0), RATE)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    assert np.array_equal(decode(Store(str(tmp_path)), name, Window(2.0), RATE)[0], whole)


def test_lengths_that_a_pipe_left_open_are_no_damage(tmp_path: Path) -> None:
    sound = music()
    flac, wav = (bytearray((tmp_path / write(tmp_path, suffix, sound)).read_bytes()) for suffix in ("flac", "wav"))
    flac[21] &= 0xF0  # STREAMINFO's number of samples: unknown
    flac[22:26] = bytes(4)
    wav[4:8] = b"\xff" * 4
    place = wav.index(b"data") + 4
    wav[place : place + 4] = b"\xff" * 4
    for name, content in (("streamed.flac", flac), ("streamed.wav", wav)):
        (tmp_path / name).write_bytes(content)
        samples, start_s = decode(Store(str(tmp_path)), name, Window(3.0), RATE)
        assert start_s == pytest.approx(4.5, abs=1e-4)
        assert np.abs(samples - sound.mean(axis=1)[round(4.5 * RATE) :][: len(samples)]).max() < 1e-4


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_mono_is_the_mean_of_all_channels(tmp_path: Path, channels: int) -> None:
    sound = np.random.default_rng(channels).uniform(-1, 1, (RATE, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    samples, _ = decode(Store(str(tmp_path)), "a.wav", Window(None), RATE)
    assert np.array_equal(samples, sound.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "PNG image"),
        (b"<!DOCTYPE html><title>404</title>" + b" " * 999, "HTML page"),
        (b"PK\x03\x04" + bytes(range(256)) * 20, "ZIP archive"),
        (bytes(4000), "zeros only"),
        (b"Not music, but words.\n" * 40, "text"),
    ],
)
@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "m4a"])
def test_what_is_no_audio_is_called_what_it_is(tmp_path: Path, head: bytes, told: str, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(head)
    excluded = reason_of(tmp_path, f"a.{suffix}")
    assert excluded.reason is Reason.NOT_AUDIO and told in excluded.detail
    assert str(tmp_path) not in excluded.detail  # where the music lies is nobody's business


@pytest.mark.parametrize(("name", "as_if"), [("flac", "mp3"), ("mp3", "wav"), ("wav", "m4a"), ("m4a", "ogg")])
def test_a_wrong_extension_changes_nothing(tmp_path: Path, name: str, as_if: str) -> None:
    right = write(tmp_path, name, music())
    wrong = f"wrong.{as_if}"
    (tmp_path / wrong).write_bytes((tmp_path / right).read_bytes())
    one, other = (decode(Store(str(tmp_path)), path, Window(1.0), 16_000)[0] for path in (right, wrong))
    assert np.abs(one - other).max() < (0.06 if name == "m4a" else 1e-6)


class _BadDisk(io.FileIO):
    """A file whose second block cannot be read."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 1 << 15:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(min(1 << 12, size if size and size > 0 else 1 << 12))

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


@pytest.mark.parametrize("suffix", ["wav", "m4a"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_fails_is_told_as_such(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(tmp_path, suffix, music())
    monkeypatch.setattr(Store, "open", lambda store, path: _BadDisk(tmp_path / path))
    monkeypatch.setattr(Store, "local_path", lambda store, path: None)
    excluded = reason_of(tmp_path, name)
    assert excluded.reason is Reason.UNREADABLE and os.strerror(errno.EIO) in excluded.detail


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
    for suffix in ("flac", "mp3", "wav", "aiff", "ogg"):
        name = write(tmp_path, suffix, music())
        memory = Store("memory://decode")
        memory.write_bytes(name, (tmp_path / name).read_bytes())
        here, _ = decode(Store(str(tmp_path)), name, Window(3.0), 16_000)
        there, _ = decode(memory, name, Window(3.0), 16_000)
        assert np.array_equal(here, there)
