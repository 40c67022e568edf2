"""A script, not a test: one training that is never stopped, one killed ten times, and one ended by SIGTERM.

Usage: killed.py DATA FOLDER SETTINGS. Writes FOLDER/whole, cut and asked, and how each ended to FOLDER/told.json.
Every training is a child forked from this process, which has loaded all that they need and computed nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import train.loop.trainer
import train.tasks.text_audio.material  # noqa: F401
from schemas.store import Store
from train import cli

Require = Callable[[], None]
# During a step or a validation, half-way through a file, and between a file's last byte and its name.
MOMENTS = ("clock",) * 4 + ("half",) * 4 + ("unnamed",) * 2


def main(data: str, folder: Path, settings: list[str]) -> None:
    """Train, and write how it went."""
    draw = random.Random(0)
    moments = list(MOMENTS)
    draw.shuffle(moments)

    def child(name: str, before: Callable[[], None] = lambda: None) -> int:
        return forked(
            lambda: cli.train("demo", data, str(folder / name), resume=True, settings=settings), before, name
        )

    def forked(work: Callable[[], None], before: Callable[[], None], name: str) -> int:
        number = os.fork()
        if number:
            return os.waitpid(number, 0)[1]
        code = 1
        try:
            log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            before()
            work()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)

    assert child("whole") == 0
    killed: list[dict[str, int]] = []
    for moment in moments:
        seconds, count = draw.uniform(0.3, 1.5), draw.randrange(4, 22)
        timed = partial(after, seconds, signal.SIGKILL)
        status = child("cut", timed if moment == "clock" else partial(at_write, count, whole=moment == "unnamed"))
        killed.append({"signal": os.WTERMSIG(status), "step": step(folder / "cut")})
    assert child("cut") == 0
    code = os.waitstatus_to_exitcode(child("asked", lambda: at_step(folder / "asked", 6)))
    asked = {"code": code, "step": step(folder / "asked")}
    assert child("asked") == 0
    (folder / "told.json").write_text(json.dumps({"killed": killed, "asked": asked}))


def step(run: Path) -> int:
    """The step that a run has saved."""
    return int(json.loads((run / "state.json").read_text())["step"]) if (run / "state.json").exists() else 0


def after(seconds: float, number: int) -> None:
    """Send this process a signal in so many seconds."""
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), number))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def at_write(count: int, *, whole: bool) -> None:
    """Be killed at the `count`-th file: half-way through it, or when it is whole and has no name yet."""
    original = Store.writing
    seen = [0]

    class Deadly:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def write(self, content: bytes) -> None:
            self.stream.write(content if whole else content[: len(content) // 2])
            self.stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def writing(self: Store, relative: str, require: Require = lambda: None) -> Iterator[Any]:
        seen[0] += 1
        with original(self, relative, require) as stream:
            yield Deadly(stream) if seen[0] == count else stream

    Store.writing = writing  # type: ignore[method-assign]


def at_step(run: Path, wanted: int) -> None:
    """Ask this process to end when a run has saved a step."""
    original = Store.write_bytes

    def write_bytes(self: Store, relative: str, data: bytes, require: Require = lambda: None) -> None:
        original(self, relative, data, require)
        if relative.startswith("checkpoints/") and step(run) >= wanted:
            os.kill(os.getpid(), signal.SIGTERM)

    Store.write_bytes = write_bytes  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
