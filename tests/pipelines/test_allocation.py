"""How a build takes memory: seen from a process of its own, for the choice is made once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Takes and lets go of as much as a column has, over and over, and tells how often the system had to give pages.
CHURN = """
import resource
from pipelines.allocation import keep_freed_memory
{}
import pyarrow
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    [bytearray(20_000_000) for _ in range(5)]
print(pyarrow.default_memory_pool().backend_name, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def churn(call: str, **environment: str) -> tuple[str, int]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "ARROW_"))}
    ran = subprocess.run(
        [sys.executable, "-c", CHURN.format(call)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    name, faults = ran.stdout.split()
    return name, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the thresholds are those of GNU's C library")
def test_memory_that_was_let_go_is_not_asked_for_again() -> None:
    pool, faults = churn("keep_freed_memory()")
    assert pool == "system"
    assert faults * 10 < churn("")[1]


def test_a_persons_own_choice_stands() -> None:
    assert churn("keep_freed_memory()", ARROW_DEFAULT_MEMORY_POOL="mimalloc")[0] == "mimalloc"
    faults = churn("keep_freed_memory()", MALLOC_MMAP_THRESHOLD_="1000000")[1]
    assert faults * 2 > churn("", MALLOC_MMAP_THRESHOLD_="1000000")[1]
