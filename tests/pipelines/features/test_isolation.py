"""Decoders that hang, die or eat memory, through the command line: one row of exclusions each, and the run goes on.

The faults are a feature of their own, `faulty`, added as any feature is: by a file in `pipelines/features`, here of
a copy of the program. What a track does is the name of its file.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import soundfile

import tracklore
from pipelines.features import isolation
from pipelines.features.decode import ExcludedError
from pipelines.features.media import MediaRef
from schemas.manifest import FeatureSection
from schemas.reasons import Reason

RATE = 8_000
FAULTY = '''
"""A feature that does what the names of files say."""
import ctypes, os, signal, sys, time
from pathlib import Path
import numpy as np
from pipelines.features.base import Feature, FeatureSettings
from schemas.shards import Clip, FeatureSpec

class Settings(FeatureSettings):
    marks: str

class Faulty(Feature):
    VERSION = 1
    Settings = Settings
    def spec(self):
        return FeatureSpec(self.name, "float32", (-1, 2), {"kind": "faulty"})
    def prepare(self):
        pass
    def clips(self, media, ref):
        what = Path(ref.uri).stem.split("-")[0]
        marks = Path(self.settings.marks)
        with (marks / Path(ref.uri).stem).open("a") as tries:
            tries.write(f"{os.getpid()}\\n")
        if what == "hang" and not (marks / "mended").exists():
            time.sleep(3600)
        elif what == "segv":
            ctypes.string_at(0)
        elif what == "abort":
            os.abort()
        elif what == "exit":
            os._exit(3)
        elif what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "once" and len((marks / Path(ref.uri).stem).read_text().split()) == 1:
            os.abort()
        elif what == "eat":
            eaten = [np.ones(1 << 20) for _ in range(1 << 14)]
        elif what == "deep":
            def down(n):
                return down(n + 1)
            down(0)
        elif what == "noise":
            os.write(2, b"[src/libmpg123/layer3.c:123] error: part2_3_length\\n")
        elif what == "slow":
            time.sleep(1.5)
        return [Clip(ref.track_id, 0, 0.0, np.full((3, 2), len(ref.uri), np.float32))]
    def clip_bytes(self):
        return 24

FEATURE = Faulty
'''


@dataclass(frozen=True)
class Ran:
    code: int
    err: str
    out: str


@dataclass(frozen=True)
class Program:
    """A copy of the program with one feature more, and a folder of music that it reads."""

    home: Path
    music: Path
    marks: Path
    data: Path

    def words(self, *more: str) -> list[str]:
        settings = [f"source.path={self.music}", f"features={{f: {{kind: faulty, marks: {self.marks}}}}}"]
        given = [word for setting in settings for word in ("--set", setting)]
        return [sys.executable, "-m", "tracklore", "build", "folder", "--out", str(self.data), *given, *more]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.home)}

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*more), cwd=self.home, env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            # Tests that run in a shell's background inherit that Ctrl-C is ignored; a terminal's program does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def build(self, *more: str) -> Ran:
        process = self.start(*more)
        out, err = process.communicate(timeout=180)
        return Ran(process.returncode, err, out)

    def exclusions(self) -> dict[str, tuple[str, str]]:
        rows = pq.read_table(self.data / "exclusions.parquet").to_pylist()
        return {row["id"].removesuffix(".wav"): (row["reason"], row["detail"]) for row in rows}

    def kept(self) -> set[str]:
        files = sorted((self.data / "features/f").glob("*.parquet"))
        return {
            track.removesuffix(".wav") for file in files for track in pq.read_table(file)["track_id"].to_pylist()
        }

    def tries(self, name: str) -> list[str]:
        return (self.marks / name).read_text().split()


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    def make(*names: str) -> Program:
        home = tmp_path / "program"
        root = Path(tracklore.__file__).parent
        for package in ("pipelines", "schemas", "manifests"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(root / package, home / package, copy_function=os.symlink, ignore=ignored)
        (home / "tracklore.py").symlink_to(root / "tracklore.py")
        (home / "pipelines/features/faulty.py").write_text(FAULTY)
        made = Program(home, tmp_path / "music", tmp_path / "marks", tmp_path / "data")
        made.music.mkdir()
        made.marks.mkdir()
        for number, name in enumerate(names):
            tone = np.sin(np.arange(RATE) * (0.1 + number / 50)).astype(np.float32) / 2
            soundfile.write(made.music / f"{name}.wav", tone, RATE)
        return made

    return make


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Builds that a test starts; none outlives it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


FAULTS = {
    "hang": ("timed_out", ["2 s", "--track-timeout", "--retry"], 1),
    "segv": ("decoder_died", ["SIGSEGV"], 2),
    "abort": ("decoder_died", ["SIGABRT"], 2),
    "exit": ("decoder_died", ["exit code 3"], 2),
    "killed": ("out_of_memory", ["the system killed", "--retry"], 2),
    "eat": ("out_of_memory", ["0.2 GB", "--track-memory", "--retry"], 2),
    "deep": ("decode_error", ["RecursionError"], 1),
}


@pytest.mark.parametrize("mode", [(), ("--direct_running_mode=multi_processing",)])
def test_each_fault_costs_its_own_track(program: Callable[..., Program], mode: tuple[str, ...]) -> None:
    good = [f"good-{n}" for n in range(6)]
    made = program(*FAULTS, *good, "once", "noise")
    limits = ("--track-timeout", "2", "--track-memory", "0.2")
    ran = made.build("--only", "features", "--workers", "2", *limits, *mode)
    assert ran.code == 0, ran.err
    assert made.kept() == {*good, "once", "noise"}
    found = made.exclusions()
    assert set(found) == set(FAULTS)
    for name, (reason, words, tries) in FAULTS.items():
        assert found[name][0] == reason, found[name]
        assert found[name][1].startswith(f"{name}.wav: ")
        assert all(word in found[name][1] for word in words), found[name]
        assert len(made.tries(name)) == tries, name
    assert len(set(made.tries("once"))) == 2  # the second try was in another process
    for name in good:
        assert len(made.tries(name)) == 1
    assert "libmpg123" not in ran.err and "Traceback" not in ran.err
    assert not living(made)


def test_what_timed_out_is_tried_again_when_asked(program: Callable[..., Program]) -> None:
    made = program("hang", "good")
    words = ("--only", "features", "--workers", "1")
    assert made.build(*words, "--track-timeout", "1").code == 0
    before = (made.data / "receipt.json").read_bytes()
    assert set(made.exclusions()) == {"hang"}
    # Neither time nor another limit makes a shard again; asking does.
    (made.marks / "mended").touch()
    again = made.build(*words, "--track-timeout", "9")
    assert again.code == 0 and "nothing to do" in again.out
    assert (made.data / "receipt.json").read_bytes() == before
    assert "tried again" in made.build(*words, "--retry", "--dry-run").out.replace("\n", " ")
    assert (made.data / "receipt.json").read_bytes() == before
    retried = made.build(*words, "--retry")
    assert retried.code == 0, retried.err
    assert made.exclusions() == {} and made.kept() == {"hang", "good"}
    nothing = made.build(*words, "--retry")
    assert nothing.code == 0 and "nothing to do" in nothing.out


def living(made: Program) -> list[psutil.Process]:
    """Processes that run the copied program, wherever they now belong."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(made.home) in process.environ().get("PYTHONPATH", "") and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(true: Callable[[], Any], seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_ended_leaves_no_process(
    program: Callable[..., Program], started: list[subprocess.Popen[str]], sent: signal.Signals
) -> None:
    made = program("hang-1", "hang-2", "good")
    process = made.start("--only", "features", "--workers", "2")
    started.append(process)
    assert wait_until(lambda: {"hang-1", "hang-2"} <= {path.name for path in made.marks.iterdir()})
    assert len(living(made)) >= 4  # the build, the nursery and two decoders
    if sent is signal.SIGINT:  # as a terminal sends it, to all of them
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert wait_until(lambda: not living(made), 10)
    assert "Traceback" not in err
    if sent is signal.SIGINT:
        assert process.returncode == 130
        assert err.splitlines()[-1] == "tracklore: interrupted; the same command goes on from here"


def test_a_nursery_that_is_killed_is_replaced(
    program: Callable[..., Program], started: list[subprocess.Popen[str]]
) -> None:
    made = program(*[f"slow-{n}" for n in range(4)])
    process = made.start("--only", "features", "--workers", "1")
    started.append(process)
    assert wait_until(lambda: any(made.marks.iterdir()))
    decoder = psutil.Process(int(made.tries(next(made.marks.iterdir()).name)[0]))
    nursery = decoder.parent()
    assert nursery is not None and nursery.pid != process.pid
    nursery.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(made.kept()) == 4 and made.exclusions() == {}


def test_a_build_that_is_put_to_sleep_loses_nothing(
    program: Callable[..., Program], started: list[subprocess.Popen[str]]
) -> None:
    made = program("slow-1", "slow-2")
    process = made.start("--only", "features", "--workers", "2", "--track-timeout", "4")
    started.append(process)
    assert wait_until(lambda: len(list(made.marks.iterdir())) == 2)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(5)
    os.killpg(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert made.kept() == {"slow-1", "slow-2"}


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--track-timeout", "0"), "--track-timeout 0"), (("--track-memory", "-1"), "--track-memory -1")],
)
def test_limits_that_cannot_be_are_refused(
    tmp_path: Path, command: Callable[..., Any], words: tuple[str, ...], told: str
) -> None:
    ran = command("build", "demo", "--out", tmp_path / "out", *words)
    assert ran.code == 2 and told in ran.err


def test_a_process_that_has_closed_its_socket_and_not_yet_ended_is_not_asked_twice() -> None:
    decoders = isolation.Isolation()
    section = FeatureSection(kind="waveform").model_dump_json()
    try:
        for _ in range(5):
            decoders.prepare("sound", section)
            nursery = decoders._nursery
            assert nursery is not None
            os.kill(
                nursery._process.pid, signal.SIGSTOP
            )  # so that it is still there, as one that takes itself down
            nursery._channel.shutdown(socket.SHUT_RDWR)
            decoders.prepare("sound", section.replace("{", "{ ", 1))
    finally:
        decoders.stop()


def test_a_limit_that_a_library_sets_for_all_sockets_is_none_of_theirs() -> None:
    decoders = isolation.Isolation()
    section = FeatureSection(kind="waveform").model_dump_json()
    work = isolation.Work("sound", section, "memory://none", 20.0, 1 << 30)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30.0)
    try:
        with pytest.raises(ExcludedError) as raised:
            decoders.clips(work, MediaRef("t", "a.wav", 0.0, None, None))
        assert raised.value.reason is not Reason.DECODER_DIED
        assert decoders._nursery is not None
        ours = [decoders._nursery._channel, *(decoder.channel for decoder in decoders._idle)]
        # The other ends share the kernel's flag, and would read what has not come yet as an error.
        assert [os.get_blocking(one.fileno()) for one in ours] == [True, True]
    finally:
        socket.setdefaulttimeout(before)
        decoders.stop()
