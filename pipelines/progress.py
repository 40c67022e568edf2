"""What a person sees while a stage works: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from schemas.terminal import PlainConsole

LOG_EVERY_S = 15.0


class Counter:
    """Items done so far, counted from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done = 0

    def advance(self, count: int = 1) -> None:
        """Add to what is done."""
        with self._lock:
            self.done += count


_counters: dict[str, Counter] = {}

BEATS = array("q", [0])
"""Rises while work goes on that finishes nothing to be counted; compiled code may count in its buffer."""


def beat() -> None:
    """Say that work goes on."""
    BEATS[0] += 1


def signs_of_life() -> int:
    """A number that changes when anything moves on in this process."""
    return BEATS[0] + sum(count.done for count in list(_counters.values()))


def counter(label: str) -> Counter:
    """The counter of a running stage. Workers in this process share it; in others it counts unseen."""
    return _counters.setdefault(label, Counter())


class Reporter:
    """Prints what a build does."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or PlainConsole(stderr=True, highlight=False)
        self.quiet = quiet

    def say(self, text: str) -> None:
        """One line."""
        if not self.quiet:
            self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def counting(self, label: str, total: int) -> Iterator[Counter]:
        """Show the progress of the counter called `label` up to `total` while the block runs."""
        count = _counters[label] = Counter()
        if self.quiet:
            yield count
        elif self.console.is_terminal:
            yield from self._bar(label, total, count)
        else:
            yield from self._lines(label, total, count)

    def _bar(self, label: str, total: int, count: Counter) -> Iterator[Counter]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console) as bar:
            task = bar.add_task(label, total=total)
            with _ticking(0.2, lambda: bar.update(task, completed=count.done)):
                yield count
            bar.update(task, completed=count.done)

    def _lines(self, label: str, total: int, count: Counter) -> Iterator[Counter]:
        started = time.monotonic()

        def tick() -> None:
            rate = count.done / max(time.monotonic() - started, 1e-9)
            self.say(f"{label}: {count.done} of {total}, {rate:.1f} a second")

        with _ticking(LOG_EVERY_S, tick):
            yield count


@contextmanager
def _ticking(seconds: float, tick: Callable[[], None]) -> Iterator[None]:
    """Call `tick` every so many seconds from a thread of its own."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            tick()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
