"""Limits for what the build's own process does: a stage that gets no further is ended, however it hangs.

Work that an engine or a child process does has limits of its own, and is not watched meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.processes import end_children
from pipelines.progress import signs_of_life
from schemas.errors import DataError

_LOOK_EVERY_S = 0.5
# What holds the main thread may be deaf to an interrupt; so long it may take to clean up.
_LAST_CHANCE_S = 10.0
_WATCHDOG = Path(__file__).with_name("watchdog.py")
_BEAT_EVERY_S = 1.0

watchdogs: dict[int, tuple[int, float]] = {}
"""The processes that look whether this one still runs, and are no part of its work: by process id, the descriptor
where they listen, and for how many seconds nothing may be finished."""

_limited: list[None] = []
_why: list[str] = []
_label: list[str] = []


class IdleClock:
    """Seconds in which this process ran and nothing moved on: those in which it was stopped (Ctrl-Z, SIGSTOP) are
    none."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._seen: int | None = None
        self.idle_s = 0.0

    def look(self, seen: int) -> float:
        """Take a number that changes when something moves on; return the seconds since it last did."""
        now = time.monotonic()
        # Whoever looks does so several times a second.
        self.idle_s = 0.0 if seen != self._seen else self.idle_s + min(now - self._looked, 2 * _LOOK_EVERY_S)
        self._looked, self._seen = now, seen
        return self.idle_s


def stalled(label: str, limit_s: float) -> str:
    """What is told of a stage that got no further."""
    return (
        f"{label}: nothing was finished for {limit_s:g} s (--stall-timeout), so the build was ended; "
        "build again to go on from there"
    )


def end_build(told: str, left: threading.Event) -> None:
    """End the build from another thread: by an interrupt, or where none is heard, by ending this process and those
    that it started.

    Args:
        told: why, for a person.
        left: set when the build has ended.
    """
    _why.append(told)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    if not left.wait(_LAST_CHANCE_S):
        sys.stderr.write(f"tracklore: {told}\n")
        sys.stderr.flush()
        end_children()
        os._exit(1)


@contextmanager
def limited_elsewhere() -> Iterator[None]:
    """Say that what the block waits for has a limit of its own."""
    _limited.append(None)
    try:
        yield
    finally:
        _limited.pop()


@contextmanager
def watched(label: str, limit_s: float) -> Iterator[None]:
    """End the build when nothing moves on in the block for so long; to be used within `guarded`."""
    left = threading.Event()

    def watch() -> None:
        clock = IdleClock()
        while not left.wait(_LOOK_EVERY_S):
            if clock.look(signs_of_life()) > limit_s and not _limited:
                end_build(stalled(label, limit_s), left)
                return
            if _limited:
                clock = IdleClock()

    _label.append(label)
    _show_life()
    try:
        with _beside(watch, "watch", left):
            yield
    finally:
        _label.pop()


@contextmanager
def guarded(limit_s: float) -> Iterator[None]:
    """Raise why the build was ended by one who watched it, wherever the interrupt met it; and have a process look
    whether this one still runs its threads, for compiled code may hold the interpreter.

    Args:
        limit_s: for so long it may be held, and ten seconds more.

    Raises:
        DataError: why.
    """
    _why.clear()
    try:
        with _watchdog(limit_s):
            yield
    except KeyboardInterrupt:
        if _why:
            raise DataError(_why[0]) from None
        raise


@contextmanager
def _watchdog(limit_s: float) -> Iterator[None]:
    words = [sys.executable, "-I", "-S", str(_WATCHDOG), f"{limit_s + _LAST_CHANCE_S:g}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as dog:  # noqa: S603 - our own
        assert dog.stdin is not None
        channel, left = dog.stdin.fileno(), threading.Event()
        os.set_blocking(channel, False)

        def beat() -> None:
            while not left.wait(_BEAT_EVERY_S):
                _show_life()

        watchdogs[dog.pid] = (channel, limit_s)
        _show_life()
        try:
            with _beside(beat, "heart", left):
                yield
        finally:
            del watchdogs[dog.pid]
            dog.kill()


@contextmanager
def _beside(work: Callable[[], None], name: str, left: threading.Event) -> Iterator[None]:
    """Do work in a thread of that name until the block is left, which sets `left`."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def _show_life() -> None:
    """Say that threads run, and in what stage: what is to be told if they do not any more."""
    label = _label[-1] if _label else "build"
    for channel, limit_s in list(watchdogs.values()):
        with contextlib.suppress(OSError):  # it was killed, or stopped: the build goes on
            os.write(channel, f"{stalled(label, limit_s)}\n".encode("utf-8", "replace"))
