"""Music videos made from a few numbers: shots with known cuts, and all that is no music video.

    plan = plan_video("music_video", seed=3, duration_s=60.0)
    encode_video(plan, "a.mp4")

Everything is a pure function of the plan. Sound carries its own time as the pitch of a rising tone, and pictures,
where the plan asks for a clock, as the bits of the frame's number along the lower edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

Transition = Literal["cut", "dissolve", "fade"]
Pictures = Literal["moving", "still", "slides", "lyrics", "black", "none"]
Frame = npt.NDArray[np.uint8]

SOUND_RATE = 16_000
TONE_HZ, TONE_RISE = 300.0, 20.0
CLOCK_BITS = 16
LONG_SHOT_S = 34.0
_MARGIN = 1.4
_GRID = (5, 8)
_DISCS = 5
# What each kind is made of; `music_video`, `fades` and `dissolves` are what a filter should keep.
KINDS = (
    "music_video",
    "fades",
    "dissolves",
    "long_scene",
    "still_image",
    "lyric_video",
    "slide_show",
    "black_frames",
    "no_video_stream",
    "no_audio_stream",
    "length_mismatch",
)
_PICTURES: dict[str, Pictures] = {
    "still_image": "still",
    "lyric_video": "lyrics",
    "slide_show": "slides",
    "black_frames": "black",
    "no_video_stream": "none",
}


@dataclass(frozen=True)
class Shot:
    """One shot: its own picture from `start_s` on, come to by a transition centred there."""

    start_s: float
    seed: int
    transition: Transition = "cut"
    transition_s: float = 0.0


@dataclass(frozen=True)
class VideoPlan:
    """A video.

    Attributes:
        duration_s, sound_s: of pictures and of sound, seconds; no sound at 0.
        width, height: pixels, even.
        clock: whether each frame's number stands along its lower edge.
        lines_s: seconds at which lyrics change.
    """

    pictures: Pictures
    shots: tuple[Shot, ...]
    duration_s: float
    sound_s: float
    fps: int = 25
    width: int = 320
    height: int = 180
    clock: bool = False
    lines_s: tuple[float, ...] = ()

    @property
    def cuts_s(self) -> list[float]:
        """Where one shot becomes the next, seconds; the middle of a dissolve or fade."""
        return [shot.start_s for shot in self.shots[1:]]


def plan_video(
    kind: str, seed: int, duration_s: float = 60.0, fps: int = 25, size: tuple[int, int] = (320, 180)
) -> VideoPlan:
    """The plan of a video of one of `KINDS`.

    Raises:
        ValueError: an unknown kind, or a duration in which it has no room.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of video; known: {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    transition: Transition = {"fades": "fade", "dissolves": "dissolve"}.get(kind, "cut")  # type: ignore[assignment]
    shortest, longest = {"cut": (1.5, 5.0), "dissolve": (4.0, 8.0), "fade": (4.0, 8.0)}[transition]
    if kind == "slide_show":
        shortest, longest = 4.0, 7.0
    whole = kind in ("still_image", "lyric_video", "black_frames")
    shots = [Shot(0.0, int(rng.integers(1 << 30)))]
    lengthened = kind != "long_scene"
    while not whole:
        length = float(rng.uniform(shortest, longest))
        if not lengthened and shots[-1].start_s >= 2.0:
            length, lengthened = LONG_SHOT_S, True
        start = round((shots[-1].start_s + length) * fps) / fps
        if start > duration_s - shortest:
            break
        duration = float(rng.uniform(0.6, 1.4)) if transition != "cut" else 0.0
        shots.append(Shot(start, int(rng.integers(1 << 30)), transition, duration))
    if not lengthened or (kind == "long_scene" and duration_s < LONG_SHOT_S + 7.0):
        raise ValueError(f"{duration_s:g} s have no room for a scene of {LONG_SHOT_S:g} s")
    lines = []
    at = 1.0
    while kind == "lyric_video" and at < duration_s:
        lines.append(round(at * fps) / fps)
        at += float(rng.uniform(1.5, 4.0))
    sound = {"no_audio_stream": 0.0, "length_mismatch": duration_s * 0.6}.get(kind, duration_s)
    pictures = _PICTURES.get(kind, "moving")
    return VideoPlan(pictures, tuple(shots), duration_s, sound, fps, *size, lines_s=tuple(lines))


def with_clock(plan: VideoPlan) -> VideoPlan:
    """The same video whose frames carry their numbers."""
    return replace(plan, clock=True)


def frames(plan: VideoPlan) -> Iterator[Frame]:
    """Every frame, uint8 (height, width, 3)."""
    for number in range(round(plan.duration_s * plan.fps)):
        yield frame(plan, number)


def frame(plan: VideoPlan, number: int) -> Frame:
    """One frame, uint8 (height, width, 3)."""
    at = number / plan.fps
    made = {"black": _black, "lyrics": _lyrics}.get(plan.pictures, _shots)(plan, at)
    if plan.clock:
        _draw_clock(made, number)
    return made


def read_clock(picture: npt.NDArray[np.integer]) -> int:
    """The number that a frame carries, from (height, width, 3) of any size."""
    height, width = picture.shape[:2]
    row = picture[round(height * 0.95), :, :].mean(axis=-1)
    centres = ((np.arange(CLOCK_BITS) + 0.5) * width / CLOCK_BITS).astype(int)
    return int(sum(1 << bit for bit, centre in enumerate(centres) if row[centre] > 127))


def _draw_clock(picture: Frame, number: int) -> None:
    height, width = picture.shape[:2]
    edges = np.round(np.arange(CLOCK_BITS + 1) * width / CLOCK_BITS).astype(int)
    for bit in range(CLOCK_BITS):
        picture[round(height * 0.88) :, edges[bit] : edges[bit + 1]] = 255 * (number >> bit & 1)


def sound(plan: VideoPlan, rate: int = SOUND_RATE) -> npt.NDArray[np.float32]:
    """A tone of `TONE_HZ` + `TONE_RISE`·t hertz at second t: float32 (samples,)."""
    at = np.arange(round(plan.sound_s * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * (TONE_HZ * at + TONE_RISE * at * at / 2))).astype(np.float32)


def read_tone(samples: npt.NDArray[np.floating], rate: int) -> float:
    """The second that the middle of some samples of `sound` is from; half a second of them is enough."""
    windowed = samples * np.hanning(len(samples))
    power = np.abs(np.fft.rfft(windowed, 8 * len(windowed)))
    return (float(power.argmax()) * rate / (8 * len(windowed)) - TONE_HZ) / TONE_RISE


def encode_video(
    plan: VideoPlan,
    path: Path | str | BinaryIO,
    *,
    codec: str = "libx264",
    sound_codec: Literal["aac", "flac"] = "aac",
    streams: Literal["both", "audio", "video"] = "both",
    keyframes_s: float | None = None,
) -> None:
    """Write the video as MP4 (or what the path's suffix says). Equal plans give equal bytes.

    Args:
        sound_codec: of an MP4 (a WebM has Opus); flac loses nothing and takes a tenth of the time.
        keyframes_s: seconds from keyframe to keyframe, whatever is shown, as streaming servers have it; None leaves
            them to the coder, who sets them at cuts.
        streams: write only the pictures or only the sound, as servers give them.
    """
    webm = str(path).endswith(".webm")
    coder, rate = ("libopus", 48_000) if webm else (sound_codec, SOUND_RATE)
    write_video(
        path,
        pictures=frames(plan) if plan.pictures != "none" and streams != "audio" else None,
        size=(plan.width, plan.height),
        fps=plan.fps,
        samples=sound(plan, rate) if plan.sound_s > 0 and streams != "video" else None,
        rate=rate,
        codec=codec,
        sound_codec=coder,
        keyframes_s=keyframes_s,
    )


def write_video(
    path: Path | str | BinaryIO,
    *,
    pictures: Iterable[Frame] | None,
    size: tuple[int, int],
    fps: int,
    samples: npt.NDArray[np.float32] | None,
    rate: int,
    codec: str = "libx264",
    sound_codec: str = "flac",
    keyframes_s: float | None = None,
) -> None:
    """Write pictures and sound, each where there is any. Equal arguments give equal bytes.

    Args:
        path: a name, or a file that takes MP4.
        pictures: uint8 (height, width, 3) each.
        size: width and height, pixels, even.
        samples: of full scale 1, (samples,).
        codec, sound_codec, keyframes_s: see `encode_video`.
    """
    file = str(path) if isinstance(path, Path | str) else path
    kind = None if isinstance(file, str) else "mp4"
    with av.open(file, "w", format=kind, options={"fflags": "+bitexact"}) as container:
        drawn = played = None
        if pictures is not None:
            settings = {"crf": "28", "preset": "veryfast"} if codec == "libx264" else {}
            options = {"threads": "1", "flags": "+bitexact", **settings}
            if keyframes_s is not None:
                options |= {"g": str(round(keyframes_s * fps)), "sc_threshold": "0"}
            drawn = cast(VideoStream, container.add_stream(codec, rate=fps, options=options))
            drawn.width, drawn.height = size
            drawn.pix_fmt = "yuv420p"
        if samples is not None:
            fast = {"aac_coder": "fast"} if sound_codec == "aac" else {}
            options = {"layout": "mono", "flags": "+bitexact", **fast}
            played = cast(AudioStream, container.add_stream(sound_codec, rate=rate, options=options))
            played.bit_rate, played.layout = 48_000, "mono"
            for start in range(0, len(samples), rate):
                some = samples[None, start : start + rate]
                if sound_codec == "flac":
                    block = av.AudioFrame.from_ndarray((some * 32767).astype(np.int16), "s16", "mono")
                else:
                    block = av.AudioFrame.from_ndarray(some, "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
                container.mux(played.encode(block))
            container.mux(played.encode(None))
        if drawn is not None and pictures is not None:
            for number, made in enumerate(pictures):
                picture = av.VideoFrame.from_ndarray(made, "rgb24")
                picture.pts, picture.time_base = number, Fraction(1, fps)
                container.mux(drawn.encode(picture))
            container.mux(drawn.encode(None))


def _shots(plan: VideoPlan, at: float) -> Frame:
    place = max(place for place, shot in enumerate(plan.shots) if shot.start_s <= at + 1e-9)
    moving = plan.pictures == "moving"
    # A transition reaches half its length to both sides of where its shot starts.
    for incoming in range(max(1, place), min(place + 2, len(plan.shots))):
        shot = plan.shots[incoming]
        if shot.transition_s and abs(at - shot.start_s) < shot.transition_s / 2:
            through = (at - shot.start_s) / shot.transition_s + 0.5
            before = _picture(plan, plan.shots[incoming - 1], at, moving).astype(np.float32)
            after = _picture(plan, shot, at, moving).astype(np.float32)
            if shot.transition == "dissolve":
                mixed = before * (1 - through) + after * through
            else:
                mixed = before * max(0.0, 1 - 2 * through) + after * max(0.0, 2 * through - 1)
            return mixed.astype(np.uint8)
    return _picture(plan, plan.shots[place], at, moving)


def _black(plan: VideoPlan, at: float) -> Frame:
    """A title in the first seconds, then nothing."""
    made = np.zeros((plan.height, plan.width, 3), np.uint8)
    if at < 3:
        _write_line(made, plan.shots[0].seed, 0.5)
    return made


def _lyrics(plan: VideoPlan, at: float) -> Frame:
    """A background that stands still, with two lines of letters that change."""
    return _with_line(plan, sum(second <= at + 1e-9 for second in plan.lines_s)).copy()


@lru_cache(maxsize=2)
def _with_line(plan: VideoPlan, line: int) -> Frame:
    made = _picture(plan, plan.shots[0], 0.0, moving=False)
    made //= 3
    for place, height in enumerate((0.42, 0.6)):
        if line:
            _write_line(made, plan.shots[0].seed + 7 * line + place, height)
    return made


def _write_line(picture: Frame, seed: int, height: float) -> None:
    rng = np.random.default_rng(seed)
    scale = max(1, picture.shape[0] // 90)
    letters = int(rng.integers(14, 22))
    width = 6 * scale
    left = max(0, (picture.shape[1] - letters * width) // 2)
    top = round(picture.shape[0] * height)
    for place in range(letters):
        glyph = np.kron(rng.random((7, 5)) < 0.5, np.ones((scale, scale), bool))
        x = left + place * width
        area = picture[top : top + glyph.shape[0], x : x + glyph.shape[1]]
        area[glyph[: area.shape[0], : area.shape[1]]] = 245


def _picture(plan: VideoPlan, shot: Shot, at: float, moving: bool) -> Frame:
    """A coloured ground that the camera moves over, and discs that move on it."""
    ground, path, discs = _scene(shot.seed, plan.width, plan.height)
    # The camera turns back at the edges: a long shot moves all the while.
    since = at if moving else 0.0
    spare = np.array([ground.shape[0] - plan.height, ground.shape[1] - plan.width])
    top, left = (spare * (0.5 + 0.5 * np.sin(path[0] + path[1] * since))).astype(int)
    made = ground[top : top + plan.height, left : left + plan.width].copy()
    for y0, x0, vy, vx, radius, *colour in discs:
        y = plan.height * (0.5 + 0.5 * np.sin(y0 + vy * since))
        x = plan.width * (0.5 + 0.5 * np.sin(x0 + vx * since))
        size = radius * plan.height
        rows = slice(max(0, int(y - size)), min(plan.height, int(y + size) + 1))
        columns = slice(max(0, int(x - size)), min(plan.width, int(x + size) + 1))
        dy = np.arange(rows.start, rows.stop)[:, None] - y
        dx = np.arange(columns.start, columns.stop)[None, :] - x
        made[rows, columns][dy * dy + dx * dx < size * size] = np.array(colour).astype(np.uint8)
    return made


@lru_cache(maxsize=8)
def _scene(seed: int, width: int, height: int) -> tuple[Frame, npt.NDArray[np.float64], list[tuple[float, ...]]]:
    rng = np.random.default_rng(seed)
    light = rng.uniform(30, 225, 3)
    grid = np.clip(light + rng.normal(0, 55, (*_GRID, 3)), 0, 255)
    rows = np.linspace(0, _GRID[0] - 1, round(height * _MARGIN))
    columns = np.linspace(0, _GRID[1] - 1, round(width * _MARGIN))
    down = _stretched(grid, rows)
    ground = _stretched(down.transpose(1, 0, 2), columns).transpose(1, 0, 2)
    ground = ground + rng.normal(0, 4, ground.shape)
    path = np.stack([rng.uniform(0, 6.28, 2), rng.uniform(0.15, 0.4, 2)])
    discs = [
        (*rng.uniform(0, 6.28, 2), *rng.uniform(0.3, 1.2, 2), rng.uniform(0.06, 0.16), *rng.uniform(0, 255, 3))
        for _ in range(_DISCS)
    ]
    return np.clip(ground, 0, 255).astype(np.uint8), path, [tuple(map(float, disc)) for disc in discs]


def _stretched(values: npt.NDArray[np.float64], places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Linear interpolation along the first axis."""
    low = np.minimum(places.astype(int), len(values) - 2)
    share = (places - low)[:, None, None]
    mixed: npt.NDArray[np.float64] = values[low] * (1 - share) + values[low + 1] * share
    return mixed
