"""SIGKILL at random moments of every stage, for the build itself, its workers and its decoders."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.builds import Started, hanging, require_finished, require_true_receipt, videos_build, words_of
from tests.faults.tally import Fault, Faults, some_of
from tests.pipelines.sources.million_song.files import Folder, row, track

VICTIMS = ("decoder", "worker", "nursery", "decoder")
IN_PROCESSES = "--direct_running_mode=multi_processing"
WORKER = "sdk_worker_main"
# Where an engine's workers work; of the first three for so short that they are met while they start.
WORKED = ("source:", "tags:", "source.music:", "features.ttmr:", "features.fp:")
DECODED = ("features.ttmr:", "features.fp:")
STAGES = ("source.music:", "source:", "tags:", "features.ttmr:", "features.fp:", "recordings:", "splits:")


def end_of(fault: Fault, *, hit: bool) -> None:
    """The right bytes came: after a kill that met something, or after one that came too late."""
    if hit:
        fault.recovered()
    else:
        fault.missed()


@dataclass(frozen=True)
class Course:
    """How a build that nobody disturbs goes: the moments at which it begins each stage, and ends, in seconds."""

    moments: dict[str, float]
    end: float

    def length(self, stage: str) -> float:
        """Of a stage, and of what is done before the next is told."""
        begin = self.moments[stage]
        return min([moment for moment in self.moments.values() if moment > begin] or [self.end]) - begin


@pytest.fixture(scope="module")
def course(undisturbed: Sequence[tuple[float, str]]) -> Course:
    moments = {stage: next(at for at, line in undisturbed if line.startswith(stage)) for stage in STAGES}
    return Course({"": 0.0, **moments}, max(at for at, _ in undisturbed))


Start = Callable[..., Started]
Command = Callable[..., Any]


def moment_of(draws: random.Random, course: Course, number: int) -> tuple[str, float]:
    """A stage, each in its turn, and seconds within it."""
    stages = ("", *STAGES)
    stage = stages[number % len(stages)]
    return stage, draws.uniform(0, course.length(stage))


def come_to(one: Started, stage: str, seconds: float) -> bool:
    """Wait for a moment; whether the build was still at work then."""
    if not one.wait_for(lambda: not stage or one.said(stage)):
        return False
    until = time.monotonic() + seconds
    return not one.wait_for(lambda: time.monotonic() >= until, seconds + 1) or one.running()


@pytest.mark.parametrize("number", some_of(range(32)))
def test_a_build_that_is_killed_twice_goes_on(
    faults: Faults, start: Start, command: Command, reference: Path, course: Course, tmp_path: Path, number: int
) -> None:
    draws = random.Random(f"killed twice {number}")
    data, stage = tmp_path / "data", ("", *STAGES)[number % (1 + len(STAGES))]
    # Only a kill among the pieces that are played needs them to be played.
    words = ("--workers", "2", *playing(stage, reference))
    # The second kill meets a build that mends what the first left.
    moments = [(stage, draws.uniform(0, course.length(stage))), ("", draws.uniform(0, course.end / 2))]
    told = [f"{after:.2f} s into {stage or 'its beginning'}" for stage, after in moments]
    with (
        faults.plant("killed build", told[0]) as first,
        faults.plant("killed build", f"again, {told[1]}") as second,
    ):
        met = []
        for moment in moments:
            one = start(data, *words)
            met.append(come_to(one, *moment))
            one.kill()
            one.gone()
            require_true_receipt(data)
        ran = command(*words_of(data, *words))
        assert ran.code == 0, ran.err
        require_finished(data, reference)
        for fault, hit in zip((first, second), met, strict=True):
            end_of(fault, hit=hit)


@pytest.mark.parametrize("number", some_of(range(44)))
def test_a_build_outlives_the_processes_that_it_started(
    faults: Faults, start: Start, reference: Path, tmp_path: Path, number: int
) -> None:
    victim = VICTIMS[number % len(VICTIMS)]
    draws = random.Random(f"killed {victim} {number}")
    data = tmp_path / "data"
    with faults.plant(f"killed {victim}", f"{number}") as fault:
        stages = WORKED if victim == "worker" else DECODED
        stage = stages[number // len(VICTIMS) % len(stages)]  # each in its turn
        words = ("--workers", "2", *playing(stage, reference))
        one = start(data, *words, *((IN_PROCESSES,) if victim == "worker" else ()))
        hit, fault.what = strike(one, victim, stage, draws)
        ran = one.end()
        assert ran.code == 0, ran.err[-2000:]
        assert "Traceback" not in ran.err, ran.err[-3000:]
        one.gone()
        require_finished(data, reference)
        end_of(fault, hit=hit)


def playing(stage: str, reference: Path) -> tuple[str, ...]:
    """The words that give a build its music; none for the stage in which it is played."""
    return () if stage == "source.music:" else (f"--set=source.path={reference / 'music'}",)


def strike(one: Started, victim: str, stage: str, draws: random.Random) -> tuple[bool, str]:
    """Kill one process of a build at a random moment after there is one in a stage.

    Returns:
        whether there was one still, and what was done.
    """
    find: dict[str, Callable[[], list[psutil.Process]]] = {
        "decoder": one.decoders,
        "nursery": lambda: [process for process in [one.nursery()] if process is not None],
        "worker": lambda: [p for p in one.family(WORKER) if not p.name().startswith("sh")],
    }
    one.reach(stage)
    assert one.wait_for(find[victim]), f"there never was a {victim}: {one.err[-1000:]}"
    seconds = draws.uniform(0, 4.0 if victim == "worker" else 1.5)
    one.wait_for(lambda: False, seconds)
    for process in find[victim]()[:1]:
        process.kill()
        return True, f"in {stage} {seconds:.2f} s after it began"
    return False, "too late: it had ended"


def test_killed_while_videos_are_looked_through(
    faults: Faults, start: Start, command: Command, tmp_path: Path, videos: Path
) -> None:
    words = videos_build(videos)
    assert command(*words(tmp_path / "whole")).code == 0
    draws = random.Random("videos")
    for number in some_of(range(10)):
        with faults.plant("killed build", f"at its videos, {number}") as fault:
            data = tmp_path / f"data-{number}"
            one = start("", words=words(data))
            hit = come_to(one, "videos:", draws.uniform(0, 4.0))
            if number % 2:
                one.kill()
                one.gone()
                require_true_receipt(data)
            else:
                children = one.family("pipelines.videos.child")[:1]
                for child in children:
                    child.kill()
                hit = bool(children)
                ran = one.end()
                assert ran.code == 0, ran.err
            assert command(*words(data)).code == 0
            require_finished(data, tmp_path / "whole")
            end_of(fault, hit=hit)


def test_killed_with_a_copy_in_the_temporary_folder(
    faults: Faults, start: Start, command: Command, tmp_path: Path
) -> None:
    """A packed database is unpacked there; the build that goes on has the same temporary folder."""
    folder = Folder(tmp_path / "files").metadata(row(n) for n in range(6))
    folder.lastfm({track(n): [("rock", 100.0)] for n in range(6)})
    for path in list(folder.path.glob("*.db")):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        f"name: m\nsource: {{kind: million_song, path: {folder.path}, labels: [lastfm]}}\npairs: null\n"
    )

    def words(out: Path) -> list[str]:
        return ["build", str(manifest), "--out", str(out), "--only", "source"]

    assert command(*words(tmp_path / "whole")).code == 0
    with faults.plant("killed build", "with a database unpacked") as fault:
        data = tmp_path / "data"
        planted = hanging(tmp_path / "planted", "pipelines.sources.msd.sqlite:_connected", "waits")
        one = start("", words=words(data), environment=planted)
        one.reach("planted")
        one.kill()
        one.gone()
        assert list(one.temporary.glob("tracklore-*/copy.db")), "there was nothing to leave"
        require_true_receipt(data)
        ran = start("", words=words(data), environment={"TMPDIR": str(one.temporary)}).end()
        assert ran.code == 0, ran.err
        require_finished(data, tmp_path / "whole")
        assert not list(one.temporary.glob("tracklore-*")), "a copy was left"
        fault.recovered()
