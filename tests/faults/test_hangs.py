"""What hangs or dies in each stage: the build ends or goes on within a time that its flags state."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.builds import Started, hanging, require_finished, require_true_receipt, videos_build, words_of
from tests.faults.tally import Faults, share_of, some_of
from tests.faults.test_storage import clear

Command = Callable[..., Any]
Start = Callable[..., Started]
IN_PROCESSES = "--direct_running_mode=multi_processing"
WORKER = "sdk_worker_main"
# A worker process takes seconds to start, and more on a busy machine.
LIMIT_S = 30
# What a build takes beside what it waits for, on a busy machine.
BESIDE_S = 240


def words(data: Path, reference: Path, *more: str) -> list[str]:
    return words_of(data, f"--set=source.path={reference / 'music'}", "--workers", "2", *more)


STAGES = ("features.ttmr:", "features.fp:", "source.music:", "source:", "tags:")
# The work of these is done in less than a second: their workers hang while they start.
SHORT = ("source:", "tags:")


@pytest.mark.parametrize("number", some_of(range(10)))
def test_a_worker_that_hangs(
    faults: Faults, start: Start, command: Command, reference: Path, tmp_path: Path, number: int
) -> None:
    data, stage = tmp_path / "data", STAGES[number % len(STAGES)]
    playing = stage == "source.music:"
    given = words_of(data, "--workers", "2") if playing else words(data, reference)
    with faults.plant("worker hangs", f"in {stage}") as fault:
        one = start("", words=[*given, IN_PROCESSES, "--stall-timeout", str(LIMIT_S)])
        one.reach(stage)
        assert one.wait_for(lambda: one.family(WORKER)), one.err
        if stage not in SHORT:
            time.sleep(1)
        began = time.monotonic()
        for process in one.family(WORKER):
            process.suspend()
        ran = one.end(LIMIT_S + BESIDE_S)
        last = clear(ran)
        assert f"for {LIMIT_S} s (--stall-timeout)" in last and "build again" in last
        fault.what = f"in {stage} ended within {time.monotonic() - began:.0f} s"
        one.gone()
        require_true_receipt(data)
        assert command(*given).code == 0
        require_finished(data, reference)
        fault.recovered()


# What the build's own process does: the stage that it tells of, and a function that hangs there.
OWN = {
    "plan": "pipelines.build:_trusted_exclusions",
    "report": "pipelines.report.page:page_text",
    "recordings": "pipelines.recordings.match:match",
    "splits": "pipelines.splits.solver:_search",
    "source": "pipelines.sources.stage:unite_artists",
    "tags": "pipelines.tags.stage:grouped_tags",
    "features.ttmr": "pipelines.features.stage:shard_of",
}
STALL_S = 20
HANGS = [(stage, how) for how in ("waits", "works") for stage in OWN] + [("splits", "holds"), ("plan", "holds")]


@pytest.mark.parametrize(("stage", "how"), some_of(HANGS))
def test_the_build_itself_hangs(
    faults: Faults, start: Start, command: Command, reference: Path, tmp_path: Path, stage: str, how: str
) -> None:
    data = tmp_path / "data"
    with faults.plant("build hangs", f"in {stage}, and {how}") as fault:
        environment = hanging(tmp_path / "plant", OWN[stage], how)
        one = start("", words=[*words(data, reference), "--stall-timeout", str(STALL_S)], environment=environment)
        one.reach("planted")
        began = time.monotonic()
        ran = one.end(STALL_S + BESIDE_S)
        # One whose threads do not run can be ended from outside alone.
        assert ran.code == (-signal.SIGKILL if how == "holds" else 1), ran.err[-2000:]
        assert "Traceback" not in ran.err, ran.err[-2000:]
        last = ran.err.strip().splitlines()[-1]
        assert last.startswith(f"tracklore: {stage}: nothing was finished for {STALL_S} s (--stall-timeout)"), last
        assert "build again" in last
        fault.what += f" ended within {time.monotonic() - began:.0f} s"
        one.gone()
        require_true_receipt(data)
        assert command(*words(data, reference)).code == 0
        require_finished(data, reference)
        fault.recovered()


def test_a_video_that_hangs(
    faults: Faults,
    start: Start,
    command: Command,
    tmp_path: Path,
    videos: Path,
) -> None:
    data, given = tmp_path / "data", videos_build(videos)
    with faults.plant("decoder hangs", "in videos:") as fault:
        one = start("", words=[*given(data), "--stall-timeout", str(LIMIT_S)])
        one.reach("videos:")
        assert one.wait_for(lambda: one.family("pipelines.videos.child")), one.err
        for process in one.family("pipelines.videos.child"):
            process.suspend()
        ran = one.end(LIMIT_S + BESIDE_S)
        assert f"videos: nothing was finished for {LIMIT_S} s (--stall-timeout)" in clear(ran)
        one.gone()
        require_true_receipt(data)
        assert command(*given(data)).code == 0
        assert command(*given(tmp_path / "whole")).code == 0
        require_finished(data, tmp_path / "whole")
        fault.recovered()


@pytest.mark.parametrize("number", range(share_of(10)))
def test_a_decoder_that_hangs(faults: Faults, start: Start, reference: Path, tmp_path: Path, number: int) -> None:
    with faults.plant("decoder hangs", f"{number}") as fault:
        data = tmp_path / "data"
        one = start("", words=words(data, reference, "--track-timeout", str(LIMIT_S)))
        one.reach("features.ttmr:")
        assert one.wait_for(one.decoders), one.err
        time.sleep(0.1 * number)
        stopped: list[psutil.Process] = one.decoders()[:1]
        for process in stopped:
            process.suspend()
        ran = one.end(LIMIT_S + BESIDE_S)
        assert ran.code == 0, ran.err
        one.gone()
        # It had a track, which left, and comes back when that is asked for; or it had none.
        again = start("", words=words(data, reference, "--retry"))
        assert again.end().code == 0, again.err
        require_finished(data, reference)
        fault.recovered()


def test_the_process_that_decoders_come_from_hangs(
    faults: Faults, start: Start, reference: Path, tmp_path: Path
) -> None:
    with faults.plant("nursery hangs", "after its first decoder") as fault:
        data = tmp_path / "data"
        one = start("", words=words(data, reference))
        one.reach("features.ttmr:")
        assert one.wait_for(one.decoders), one.err
        nursery = one.nursery()
        assert nursery is not None
        nursery.suspend()
        ran = one.end(60 + 2 * BESIDE_S)
        assert ran.code == 0, ran.err
        one.gone()
        require_finished(data, reference)
        fault.recovered()


def test_a_worker_that_dies_again_and_again(
    faults: Faults, start: Start, command: Command, reference: Path, tmp_path: Path
) -> None:
    with faults.plant("worker dies again and again", "in features.ttmr") as fault:
        data = tmp_path / "data"
        one = start("", words=words(data, reference, IN_PROCESSES))
        one.reach("features.ttmr:")
        until = time.monotonic() + BESIDE_S
        while one.running() and time.monotonic() < until:
            for process in one.family(WORKER):
                if not process.name().startswith("sh"):
                    process.kill()
            time.sleep(0.2)
        ran = one.end(BESIDE_S)
        assert "a worker process ended in mid-run" in clear(ran)
        one.gone()
        require_true_receipt(data)
        assert command(*words(data, reference)).code == 0
        require_finished(data, reference)
        fault.recovered()


# The stage that it comes in, how many seconds after its first line, and whether worker processes are at work.
INTERRUPTS = [
    ("features.ttmr:", 0.3, False),
    ("splits:", 0.3, True),
    ("source:", 0.3, False),
    ("recordings:", 0.3, True),
    ("recordings:", 0.3, False),  # while a compiler is loaded
    ("source:", 0.7, True),  # when workers are just begun
    ("tags:", 0.1, False),
    ("features.ttmr:", 2.5, True),
    ("splits:", 1.0, False),
    ("features.fp:", 1.5, True),
]


@pytest.mark.parametrize(("stage", "after_s", "in_processes"), some_of(INTERRUPTS))
def test_an_interrupt(
    faults: Faults,
    start: Start,
    command: Command,
    reference: Path,
    tmp_path: Path,
    stage: str,
    after_s: float,
    in_processes: bool,
) -> None:
    data, mode = tmp_path / "data", (IN_PROCESSES,) if in_processes else ()
    beside = ", with worker processes" if in_processes else ""
    with faults.plant("interrupted", f"{after_s:g} s into {stage}{beside}") as fault:
        one = start("", words=words(data, reference, *mode))
        one.reach(stage)
        time.sleep(after_s)
        os.killpg(one.pid, signal.SIGINT)
        ran = one.end(BESIDE_S)
        # By the signal itself where it met what Python runs from a string: 130, too, for a shell.
        assert ran.code in (0, 130, -signal.SIGINT), (ran.code, ran.err)
        assert "Traceback" not in ran.err, ran.err[-2000:]
        if ran.code:
            told = ran.err.strip().splitlines()[-1]
            assert told == "tracklore: interrupted; the same command goes on from here", told
        one.gone()
        require_true_receipt(data)
        assert command(*words(data, reference)).code == 0
        require_finished(data, reference)
        fault.recovered()


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


PIPES: dict[str, tuple[str, list[str], str]] = {
    "manifest": ("m.yaml", [], "{pipe}"),
    "list of known-bad tracks": ("bad.csv", ["--set", "exclude={pipe}"], "demo"),
    "kept splits": ("kept.parquet", ["--keep", "{pipe}"], "demo"),
    "metadata": ("in/metadata.csv", ["--set", "source.path={folder}"], "folder"),
    "published table": ("in/annotations_final.csv", ["--set", "source.path={folder}"], "magnatagatune"),
    "table of captions": ("in/musiccaps-public.csv", ["--set", "source.path={folder}"], "musiccaps"),
    "cookies": ("c.txt", ["--set", "videos.download=true", "--set", "videos.cookies={pipe}"], "music_videos"),
}


@pytest.mark.parametrize("what", some_of(list(PIPES)))
def test_a_pipe_that_nobody_writes_to(
    faults: Faults, start: Start, reference: Path, tmp_path: Path, what: str
) -> None:
    """Opened, it would be waited for without end."""
    name, more, manifest = PIPES[what]
    with faults.plant("pipe as input", what) as fault:
        place = pipe(tmp_path / name)
        if place.parent.name == "in":
            for piece in sorted((reference / "music").rglob("*.flac"))[:2]:
                (place.parent / piece.name).write_bytes(piece.read_bytes())
        if manifest == "music_videos":
            (tmp_path / "in").mkdir()
            (tmp_path / "in/youtube_video_ids_00_206947.txt").write_text(
                "\n# new artist:\tA\t0000000000000000000000\n\nabcdefghijk\n"
            )
            more = [*more, "--set", "source.path={folder}"]
        filled = [word.format(pipe=place, folder=tmp_path / "in") for word in (manifest, *more)]
        settings = ("source.artists=8", "source.tracks=20") if manifest == "demo" else ()
        if manifest == "demo":
            filled += ["--set", f"source.path={reference / 'music'}"]
        given = words_of(
            tmp_path / "out", *filled[1:], "--only", "tags,splits", manifest=filled[0], settings=settings
        )
        clear(start("", words=given).end(BESIDE_S))
        fault.refused()
