"""Builds of a small composed corpus, in processes that a test can follow, hit and count."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
CORPUS = (
    "source.artists=8",
    "source.tracks=20",
    "tags.min_tracks=1",
    "features.fp={kind: fingerprint}",
)
TEMPORARY = "_tmp-"
_MARK = "TRACKLORE_FAULT"


@dataclass(frozen=True)
class Ended:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


def words_of(out: Path | str, *more: str, manifest: str = "demo", settings: Sequence[str] = CORPUS) -> list[str]:
    """A build as it is typed."""
    given = [word for setting in settings for word in ("--set", setting)]
    return ["build", manifest, "--out", str(out), *given, *more]


class Started:
    """A command in a process of its own, whose children and children's children are known by a mark.

    Args:
        home: gets its caches and its folder for temporary files.
        prefix: a command that runs the command (`prlimit`).
    """

    def __init__(
        self, words: Sequence[str], home: Path, environment: dict[str, str], prefix: Sequence[str] = ()
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.temporary = home / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tracklore", *words],
            cwd=ROOT,
            env={
                **os.environ,
                _MARK: self.mark,
                "XDG_CACHE_HOME": str(home / "cache"),
                "TMPDIR": str(self.temporary),
                "COLUMNS": "200",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._said: list[bytes] = []
        self._readers = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def err(self) -> str:
        return "\n".join(line for _, line in list(self.lines))

    def running(self) -> bool:
        return self._process.poll() is None

    def _read_out(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append((time.monotonic() - self.began, line.decode("utf-8", "replace").rstrip("\n")))

    def said(self, beginning: str) -> bool:
        """Whether a line that begins so was written to standard error."""
        return any(line.startswith(beginning) for _, line in list(self.lines))

    def wait_for(self, true: Callable[[], Any], seconds: float = 300.0) -> bool:
        """Whether it came true before the process ended, or the seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if true():
                return True
            if not self.running():
                return bool(true())
            time.sleep(0.01)
        return False

    def reach(self, stage: str) -> None:
        """Wait until it tells of a stage.

        Raises:
            AssertionError: it never does.
        """
        assert self.wait_for(lambda: self.said(stage)), f"it never came to {stage!r}: {self.err[-1000:]}"

    def end(self, seconds: float = 600.0) -> Ended:
        """Wait for its end.

        Raises:
            AssertionError: it is not at its end after so many seconds.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still at work after {seconds:g} s; it said: {self.err[-2000:]}") from None
        for reader in self._readers:
            reader.join(2)  # a child that lives on would hold the pipe
        return Ended(self._process.returncode, b"".join(self._said).decode("utf-8", "replace"), self.err)

    def kill(self) -> None:
        """SIGKILL for the command itself; its children are left to themselves."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def family(self, words: str = "") -> list[psutil.Process]:
        """The living processes of the command, whoever their parents are, with `words` in their command lines."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
                if ours and words in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def nursery(self) -> psutil.Process | None:
        """The process that decoders are forked from: of all that run its module, the one whose parent does not."""
        these = {process.pid: process for process in self.family("pipelines.features.nursery")}
        for process in these.values():
            try:
                if process.ppid() not in these:
                    return process
            except psutil.Error:
                continue
        return None

    def decoders(self) -> list[psutil.Process]:
        """The processes that decode."""
        nursery = self.nursery()
        try:
            return [] if nursery is None else nursery.children()
        except psutil.Error:
            return []

    def gone(self, seconds: float = 15.0) -> None:
        """Require that no process of it is left.

        Raises:
            AssertionError: one is.
        """
        until = time.monotonic() + seconds
        while (left := self.family()) and time.monotonic() < until:
            time.sleep(0.1)
        assert not left, f"{len(left)} processes outlive the build: {[p.info or p for p in left]}"


def ended(one: Started) -> None:
    """Kill what is left of a command."""
    for process in one.family():
        try:
            process.kill()
        except psutil.Error:
            continue


_PLANTED = """
import importlib.machinery, os, re, sys, time

MODULE, NAME, HOW = os.environ["PLANT"].split(":")

def hang(*arguments, **named):
    print("planted", file=sys.stderr, flush=True)
    if HOW == "waits":
        while True:
            time.sleep(60)
    if HOW == "holds":
        re.match("(a|aa)+$", 100 * "a" + "b")
    taken = []
    while HOW == "takes":
        if len(taken) < 40:
            taken.append(bytes(range(256)) * 400_000)
        time.sleep(0.05)
    while True:  # deaf to an interrupt
        try:
            while True:
                pass
        except BaseException:
            continue

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            setattr(module, NAME, hang)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def hanging(folder: Path, place: str, how: str) -> dict[str, str]:
    """The environment of a command in which a function hangs.

    Args:
        place: the function, as `module:name`.
        how: `waits`; `works` without end and hears no interrupt; `holds` the interpreter, so that no thread runs;
            or `takes` more and more memory, up to 4 GB.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_PLANTED)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PLANT": f"{place}:{how}"}


def receipt_of(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "receipt.json").read_bytes())
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def require_true_receipt(data: Path) -> None:
    """Require that what a killed build left says nothing false: each file that is listed is there as listed.

    The table of exclusions may be one commit ahead: it is replaced a moment before the receipt, and says so itself.

    Raises:
        AssertionError: a file is missing or another.
    """
    if not (data / "receipt.json").exists():
        return
    for name, stage in receipt_of(data)["stages"].items():
        for path, entry in stage["files"].items():
            assert (data / path).exists(), f"{path} is listed and not there"
            assert name == "exclusions" or digest(data / path) == entry["sha256"], f"{path} is not what is listed"


def require_finished(data: Path, reference: Path) -> None:
    """Require the reference's bytes, file by file, and nothing of a build at work.

    Raises:
        AssertionError: a file differs, is missing, or is left over.
    """
    assert (data / "receipt.json").read_bytes() == (reference / "receipt.json").read_bytes(), "another receipt"
    wanted, found = files_of(reference), files_of(data)
    assert sorted(found) == sorted(wanted), f"other files: {sorted(set(found) ^ set(wanted))}"
    differing = [path for path in wanted if digest(reference / path) != digest(data / path)]
    assert not differing, f"other bytes: {differing}"


def files_of(data: Path) -> list[str]:
    """Every file of a dataset, hidden and temporary ones too, but for the music that was played into it."""
    found = [path.relative_to(data) for path in data.rglob("*") if path.is_file() or path.is_symlink()]
    return [str(path) for path in found if path.parts[0] != "music" or path.name.startswith(TEMPORARY)]


def videos_build(videos: Path) -> Callable[[Path], list[str]]:
    """The command that looks through the videos of the fixture of that name, for a dataset directory."""
    settings = (f"source.path={videos / 'lists'}", f"videos.local={videos / 'files'}")

    def words(out: Path) -> list[str]:
        only = ("--only", "tags,splits", "--workers", "2")
        return words_of(out, *only, manifest="music_videos", settings=settings)

    return words
