from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from pipelines.report.storyboards import timeline
from pipelines.synthesis.videos import encode_video, plan_video, read_clock, with_clock
from pipelines.videos.storyboard_frames import draw
from pipelines.videos.storyboards import chosen

Command = Callable[..., Any]
Publish = Callable[..., Path]
Made = Callable[..., Path]


def test_the_report_shows_videos_that_stay_and_that_leave_with_their_scenes(
    tmp_path: Path, command: Command, publish: Publish, made: Made
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    kinds = ["music_video", "long_scene", "slide_show", "no_video_stream"]
    ids = [f"board-{number:05d}" for number in range(len(kinds))]
    for track, kind in zip(ids, kinds, strict=True):
        shutil.copy(made(kind), videos / f"{track}.mp4")
    pages = []
    for name in ("a", "b"):
        out = tmp_path / name
        settings = ("--set", f"source.path={publish({'One': ids})}", "--set", f"videos.local={videos}")
        ran = command("build", "music_videos", "--out", out, "--only", "tags,splits", *settings)
        assert ran.code == 0, ran.err
        assert command("report", out).code == 0
        pages.append((out / "report.html").read_bytes())
    assert pages[0] == pages[1]
    page = pages[0].decode()
    boards = re.findall(r'<figure class="board">.*?</figure>', page, re.DOTALL)
    assert len(boards) == 3  # what has no pictures has no storyboard
    told = {next(track for track in ids if track in board): board for board in boards}
    assert "Stays" in told[ids[0]] and "Leaves: long_scene" in told[ids[1]] and "Leaves: slide_show" in told[ids[2]]
    rows = {row["track_id"]: row for row in pq.read_table(out / "videos.parquet").to_pylist()}
    for track, board in told.items():
        assert board.count("<img ") == 6
        assert board.count("<path ") == len(rows[track]["scenes"]) - 1
    for data in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page):
        assert len(data) < 12_000
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (160, 90)


def test_frames_are_those_shown_at_their_seconds(tmp_path: Path) -> None:
    path = tmp_path / "clock.mp4"
    encode_video(with_clock(plan_video("music_video", 4, 20.0, 25, (320, 180))), path, streams="video")
    drawn = draw({"video": str(path), "seconds": [0.0, 3.33, 12.5, 19.97]})
    numbers = [read_clock(np.asarray(Image.open(io.BytesIO(base64.b64decode(jpeg))))) for _, jpeg in drawn]
    assert numbers == [0, 83, 312, 499]
    assert [round(at * 25) for at, _ in drawn] == numbers


def test_what_is_shown_is_bounded_and_of_every_reason() -> None:
    kinds = ["music_video"] * 50 + ["long_scene"] * 30 + ["still_image"] * 3 + ["no_video_stream"]
    rows = [
        {"track_id": f"t{n}", "kind": kind, "video_s": None if kind == "no_video_stream" else 9.0}
        for n, kind in enumerate(kinds)
    ]
    found = [row["kind"] for row in chosen(rows)]
    assert found == ["music_video"] * 6 + ["long_scene"] * 2 + ["still_image"] * 2
    assert chosen(rows) == chosen(rows[::-1])


def test_a_timeline_has_a_line_at_each_boundary() -> None:
    drawn = timeline([0.0, 2.5, 5.0], 10.0, [1.0])
    assert re.findall(r'd="M([0-9.]+) ', drawn) == ["240.0", "480.0"]
    assert '<rect x="480.0" y="2" width="480.0"' in drawn and 'cx="96.0"' in drawn
    assert timeline([], 10.0, []) == ""
