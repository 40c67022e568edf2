"""What ends a build that gets no further, seen from outside of the process that it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest

from pipelines.watch import IdleClock

LIMIT_S = 3

BUILD = """
import re, sys, time
from pipelines.progress import beat
from pipelines.watch import guarded, watched
from schemas.errors import DataError

def goes_on():
    print("begun", flush=True)
    for _ in range(20):
        time.sleep(0.2)
        beat()

def waits():
    time.sleep(600)

def holds():
    re.match("(a|aa)+$", 100 * "a" + "b")

try:
    with guarded({limit}), watched("tags", {limit}):
        {what}()
    print("done")
except DataError as error:
    sys.exit(f"told: {{error}}")
"""


def started(what: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", BUILD.format(limit=LIMIT_S, what=what)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_one_that_was_stopped_for_longer_than_the_limit_goes_on() -> None:
    with started("goes_on") as build:
        assert build.stdout is not None
        assert build.stdout.readline() == "begun\n"
        build.send_signal(signal.SIGSTOP)
        time.sleep(2 * LIMIT_S)
        build.send_signal(signal.SIGCONT)
        out, err = build.communicate(timeout=120)
    assert (build.returncode, out, err) == (0, "done\n", "")


STALLED = rf"tags: nothing was finished for {LIMIT_S} s \(--stall-timeout\), so the build was ended; .*\n"


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [("waits", 1, f"told: {STALLED}"), ("holds", -signal.SIGKILL, f"tracklore: {STALLED}")],
)
def test_one_that_stands_still_is_ended(what: str, code: int, told: str) -> None:
    """Also one in which no thread runs."""
    with started(what) as build:
        _, err = build.communicate(timeout=120)
    assert build.returncode == code, err
    assert re.fullmatch(told, err), err


def test_time_in_which_nobody_looked_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("pipelines.watch.time.monotonic", lambda: now[0])
    clock = IdleClock()
    for seconds, seen, idle in ((0.5, 1, 0.0), (0.5, 1, 0.5), (3600.0, 1, 1.5), (0.5, 1, 2.0), (0.5, 2, 0.0)):
        now[0] += seconds
        assert clock.look(seen) == pytest.approx(idle)
