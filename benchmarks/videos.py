"""Music videos looked through: processor time beside their length, and agreement with what is known of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream

from benchmarks.music import WORK
from benchmarks.result import Result
from pipelines.synthesis.videos import KINDS, VideoPlan, encode_video, frame, plan_video
from pipelines.videos.examine import examine
from schemas.manifest import VideosSection

BUDGET = 20.0  # a video may take a twentieth of its duration on one core
SEEDS, SECONDS, FPS, SIZE = 4, 60.0, 25, (320, 180)
SIZES = ((640, 360), (1280, 720))
GRAINY_SECONDS = 40.0
KEPT = ("music_video", "fades", "dissolves")
NEAR_S = 0.25


def run() -> list[Result]:
    """Cost of H.264 with the grain of a camera, then cuts and kinds of 44 generated videos."""
    return [*(cost(size) for size in SIZES), *agreement()]


def cost(size: tuple[int, int]) -> Result:
    """Seconds of video that a second of one core looks through."""
    path = WORK / f"videos/grain-{size[1]}.mp4"
    if not path.exists():
        write_with_grain(plan_video("music_video", 0, GRAINY_SECONDS, FPS, size), path)
    looked_through(path)  # imports
    started = time.process_time()
    found = looked_through(path)
    taken = time.process_time() - started
    assert found["kind"] == "music_video", found
    kilobits = 8 * path.stat().st_size / 1000 / GRAINY_SECONDS
    name = f"looking through a video, {size[1]} lines, {kilobits:,.0f} kbit/s"
    return Result(name, "a twentieth of its duration", GRAINY_SECONDS / taken, BUDGET, 1.0, "s/s")


def agreement() -> list[Result]:
    """Recall and precision of cuts, and how many videos are told what they are."""
    cuts = {kind: np.zeros(3) for kind in (*KEPT, "long_scene")}
    right = 0
    for kind in KINDS:
        for seed in range(SEEDS):
            plan = plan_video(kind, seed, SECONDS, FPS, SIZE)
            path = WORK / f"videos/{kind}-{seed}.mp4"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                encode_video(plan, path)
            found = looked_through(path)
            right += found["kind"] == ("music_video" if kind in KEPT else kind)
            if kind in cuts:
                # A dissolve has no one frame where it happens.
                near = NEAR_S if plan.shots[-1].transition == "cut" else 2 * NEAR_S
                scenes = found["scenes"][1:]
                cuts[kind] += matched(plan.cuts_s, scenes, near), len(plan.cuts_s), len(scenes)
    results = [
        Result("videos told what they are", "what they are", right / (SEEDS * len(KINDS)), 1.0, 0.95, "share")
    ]
    for kind, (hits, true, listed) in cuts.items():
        goal = 0.95 if kind in ("music_video", "long_scene") else 0.85
        results.append(Result(f"cuts found, {kind}", "those that are there", hits / true, 1.0, goal, "recall"))
        results.append(Result(f"cuts found, {kind}", "those that are there", hits / listed, 1.0, goal, "precision"))
    return results


def matched(truth: Sequence[float], found: Sequence[float], near: float) -> int:
    """How many of the true cuts have a found one of their own within `near` seconds."""
    left, hits = list(found), 0
    for cut in truth:
        close = [one for one in left if abs(one - cut) <= near]
        if close:
            left.remove(min(close, key=lambda one: abs(one - cut)))
            hits += 1
    return hits


def looked_through(path: Path) -> dict[str, Any]:
    """As the shipped recipe looks through a video."""
    section = VideosSection()
    request = {"filter": section.filter.model_dump(), "max_duration_s": section.max_duration_s}
    return examine({**request, "audio": str(path), "video": str(path)})


def write_with_grain(plan: VideoPlan, path: Path) -> None:
    """Frames with noise that no two share, as H.264 in the quality of x264's defaults, a keyframe every 5 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    quiet = path.with_suffix(".sound.mp4")
    encode_video(plan, quiet, streams="audio")
    with av.open(str(path), "w") as container, av.open(str(quiet)) as heard:
        drawn: VideoStream = container.add_stream(
            "libx264", rate=plan.fps, options={"crf": "23", "g": str(5 * plan.fps)}
        )
        drawn.width, drawn.height, drawn.pix_fmt = plan.width, plan.height, "yuv420p"
        played = container.add_stream_from_template(heard.streams.audio[0])
        for number in range(round(plan.duration_s * plan.fps)):
            grain = rng.integers(-6, 7, (plan.height, plan.width, 1), np.int16)
            made = np.clip(frame(plan, number).astype(np.int16) + grain, 0, 255).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(made, "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, plan.fps)
            container.mux(drawn.encode(picture))
        container.mux(drawn.encode(None))
        for packet in heard.demux(heard.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = played
                container.mux(packet)
    quiet.unlink()
