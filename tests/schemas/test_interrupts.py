"""A Ctrl-C is heard wherever it comes."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, time, weakref
from schemas import interrupts
from schemas.interrupts import keep_interrupts

interrupts._AGAIN_S = 5.0  # what comes behind the clean-up is to be seen to go on
signal.signal(signal.SIGINT, signal.default_int_handler)
keep_interrupts()
keep_interrupts()


class Held:
    pass


def cleaned(_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass


held = Held()
watch = weakref.ref(held, cleaned)
try:
    del held
    print("went on", flush=True)
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
OTHER = """
from schemas.interrupts import keep_interrupts

keep_interrupts()


class Held:
    def __del__(self):
        raise ValueError("no interrupt")


held = Held()
del held
"""


def test_one_that_meets_a_clean_up_is_not_lost() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert (ran.stdout.split("\n"), ran.stderr) == (["went on", "interrupted", ""], "")


def test_what_else_is_ignored_is_told_as_ever() -> None:
    ran = subprocess.run([sys.executable, "-c", OTHER], capture_output=True, text=True, check=True, timeout=60)
    assert "ValueError: no interrupt" in ran.stderr
