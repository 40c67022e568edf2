"""A Ctrl-C is heard wherever it comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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

IMPORTING = """
import os, signal, sys, time
from schemas.interrupts import keep_interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)
keep_interrupts()
try:
    import slow
    time.sleep(20)
except KeyboardInterrupt:
    print("loaded" if "slow" in sys.modules and hasattr(slow, "END") else "half loaded", flush=True)
"""
SLOW = """
import os, signal, time

os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.3)
END = 1
"""
ENDLESS = """
import os, signal, time
from schemas import interrupts

interrupts._PATIENCE_S = 0.5
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


def test_one_that_meets_a_clean_up_is_not_lost() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert (ran.stdout.split("\n"), ran.stderr) == (["went on", "interrupted", ""], "")


def test_what_else_is_ignored_is_told_as_ever() -> None:
    ran = subprocess.run([sys.executable, "-c", OTHER], capture_output=True, text=True, check=True, timeout=60)
    assert "ValueError: no interrupt" in ran.stderr


@pytest.mark.parametrize(("module", "told"), [(SLOW, "loaded"), (ENDLESS, "half loaded")], ids=["slow", "endless"])
def test_a_module_is_loaded_first_but_not_waited_for_without_end(tmp_path: Path, module: str, told: str) -> None:
    """Raised within an import it can leave the lock of all imports taken: another thread would wait for ever."""
    (tmp_path / "slow.py").write_text(module)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{IMPORTING}"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert (ran.stdout, ran.stderr) == (f"{told}\n", "")
