"""A second is the same in the sound and in the pictures of a file, wherever its time stamps start."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.features.decode import Window, decode
from pipelines.features.video_frames import VideoFrames
from pipelines.videos.examine import examine
from pipelines.videos.storyboard_frames import draw
from pipelines.videos.thumbnails import Streams, thumbnails
from schemas.store import Store

FPS, RATE, SECONDS, CLICK_S = 10, 44_100, 30, 20
Made = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("containers")


def contain(path: Path, *, late_s: float = 0.0, first_s: float = 0.0, cover: bool = False, bits: int = 0) -> None:
    """30 s whose frame n is n grey levels light, and whose sound, which starts late, clicks in second 20."""
    with av.open(str(path), "w") as container:

        def put(stream: Any, packets: Any, ahead_s: float) -> None:
            for packet in packets:
                by = round(ahead_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + by, packet.dts + by
                container.mux(packet)

        if cover:
            picture: Any = container.add_stream("mjpeg", rate=1)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            red = av.VideoFrame.from_ndarray(np.full((64, 64, 3), (255, 0, 0), np.uint8), format="rgb24")
            red.pts, red.time_base = 0, Fraction(1, 1)
        pictures: Any = container.add_stream("mpeg2video" if path.suffix == ".ts" else "mpeg4", rate=FPS)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        pictures.bit_rate = bits or 400_000
        sound: Any = container.add_stream("mp2", rate=RATE, layout="mono")
        if cover:
            put(picture, [*picture.encode(red.reformat(format="yuvj420p")), *picture.encode(None)], 0.0)
        samples = np.zeros(int((SECONDS - late_s) * RATE), np.int16)
        click = round((CLICK_S - late_s) * RATE)
        samples[click : click + 100] = 30_000
        noise = np.random.default_rng(0)
        done = 0
        for number in range(SECONDS * FPS):
            levels = np.full((64, 64, 3), 16 + number * 220 // (SECONDS * FPS), np.uint8)
            if bits:
                levels = noise.integers(0, 255, (64, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            put(pictures, pictures.encode(frame), first_s)
            while done + 1152 <= len(samples) and done / RATE + late_s <= number / FPS:
                piece = av.AudioFrame.from_ndarray(samples[None, done : done + 1152], format="s16", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, done, Fraction(1, RATE)
                put(sound, sound.encode(piece), first_s + late_s)
                done += 1152
        put(pictures, pictures.encode(None), first_s)
        put(sound, sound.encode(None), first_s + late_s)


def put_cover_first(path: Path) -> None:
    """Move what is said of the album before the streams, as some programs write it."""
    content = path.read_bytes()
    place = content.index(b"moov") - 4
    end = place + int.from_bytes(content[place : place + 4], "big")
    boxes, at = [], place + 8
    while at < end:
        length = int.from_bytes(content[at : at + 4], "big")
        boxes.append(content[at : at + length])
        at += length
    boxes.sort(key=lambda box: {b"mvhd": 0, b"udta": 1}.get(box[4:8], 2))
    path.write_bytes(content[: place + 8] + b"".join(boxes) + content[end:])
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec.name == "mjpeg"


FILES: dict[str, dict[str, Any]] = {
    "plain.mkv": {},
    "late.mkv": {"late_s": 2.0},
    "late.mp4": {"late_s": 2.0},
    "late.ts": {"late_s": 2.0, "first_s": 10.0},
    "stamps.ts": {"first_s": 10.0},
    "cover.mp4": {"cover": True},
    "very_late.mkv": {"late_s": 12.0},
}


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    def file(name: str) -> str:
        if not (folder / name).exists():
            contain(folder / name, **FILES[name])
            if FILES[name].get("cover"):
                put_cover_first(folder / name)
        return name

    return file


def level(picture: Any) -> float:
    """The number of a frame, read from how light it is."""
    return (float(np.asarray(picture).mean()) - 16) * SECONDS * FPS / 220


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "window", [Window(None), Window(4.0, "start", 18.0), Window(10.0, "start", 15.0, 29.0), Window(21.0, "start")]
)
def test_a_click_is_heard_in_the_second_that_it_is_written_for(
    name: str, window: Window, folder: Path, made: Made
) -> None:
    samples, start_s = decode(Store(str(folder)), made(name), window, RATE)
    heard = start_s + int(np.abs(samples).argmax()) / RATE
    assert start_s == pytest.approx(window.offset_s, abs=1e-3)
    assert heard == pytest.approx(CLICK_S, abs=0.03)  # an encoder's delay, which these files do not state
    if window.seconds is not None:
        assert len(samples) == round(window.seconds * RATE)
    before = round((FILES[name].get("late_s", 0.0) - start_s) * RATE)
    assert not samples[: max(0, before)].any()


@pytest.mark.parametrize("name", FILES)
def test_pictures_are_those_of_the_second_that_is_asked_for(name: str, folder: Path, made: Made) -> None:
    wanted = np.array([15.0, 20.0, 25.0])
    with VideoFrames(Store(str(folder)), made(name)) as frames:
        assert frames.end_s == pytest.approx(SECONDS, abs=0.3)
        numbers = [level(picture) for picture in frames.at(wanted)]
    assert numbers == pytest.approx(list(wanted * FPS), abs=6)
    drawn = draw({"video": str(folder / name), "seconds": [0.0, 12.0, 25.0]})
    assert [at for at, _ in drawn] == pytest.approx([0.0, 12.0, 25.0], abs=1 / FPS)
    shown = [level(Image.open(io.BytesIO(base64.b64decode(jpeg)))) for _, jpeg in drawn]
    assert shown == pytest.approx([0, 120, 250], abs=6)


@pytest.mark.parametrize("name", FILES)
def test_lengths_are_counted_from_the_start(name: str, folder: Path, made: Made) -> None:
    path = str(folder / made(name))
    found = examine({"audio": path, "video": path, "filter": {}, "max_duration_s": 900.0})
    assert found["video_s"] == pytest.approx(SECONDS, abs=0.2) and found["scenes"][0] == 0
    assert found["audio_s"] == pytest.approx(SECONDS, abs=0.2)
    looked = Streams()
    seen = [(second, level(picture)) for second, picture, _ in thumbnails(folder / name, 0, looked)]
    assert len(seen) == SECONDS * FPS
    assert [number for _, number in seen] == pytest.approx([second * FPS for second, _ in seen], abs=6)


def test_sound_whose_rate_is_known_from_its_first_frame_alone_is_decoded(tmp_path: Path) -> None:
    contain(tmp_path / "dense.ts", late_s=15.0, bits=8_000_000)
    with av.open(str(tmp_path / "dense.ts")) as container:
        assert not container.streams.audio or not container.streams.audio[0].rate
    samples, start_s = decode(Store(str(tmp_path)), "dense.ts", Window(None), RATE)
    assert start_s == 0 and int(np.abs(samples).argmax()) / RATE == pytest.approx(CLICK_S, abs=0.03)
