"""`--memory-limit`: what it leaves for tracks, who refuses it, and what a build says that it took."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.memory import BUILD_BYTES, LEAST_TRACK_BYTES, shared
from schemas.errors import UsageError
from tests.faults.builds import Started, require_finished, words_of
from tests.faults.tally import Faults

Command = Callable[..., Any]
GB = 10**9


@given(st.integers(BUILD_BYTES, 200 * GB), st.integers(1, 256), st.none() | st.integers(1, 8 * GB))
def test_no_more_is_promised_than_there_is(limit: int, workers: int, track_bytes: int | None) -> None:
    try:
        share = shared(limit, workers, track_bytes)
    except UsageError:
        assert limit < BUILD_BYTES + (track_bytes or LEAST_TRACK_BYTES)
        return
    assert 1 <= share.workers <= workers
    assert BUILD_BYTES + share.workers * share.track_bytes <= limit
    assert share.track_bytes == track_bytes if track_bytes else share.track_bytes >= LEAST_TRACK_BYTES


@pytest.mark.parametrize(
    ("words", "least"),
    [(("1",), "1.75 GB"), (("1.7",), "1.75 GB"), (("3", "--track-memory", "2"), "3.5 GB"), (("0",), "above 0")],
)
def test_a_limit_below_the_least_is_refused(
    faults: Faults, command: Command, tmp_path: Path, words: tuple[str, ...], least: str
) -> None:
    with faults.plant("memory limit", f"{words[0]} GB") as fault:
        ran = command("build", "demo", "--out", tmp_path / "out", "--memory-limit", *words)
        assert ran.code == 2 and "--memory-limit" in ran.err and least in ran.err, ran.err
        assert not (tmp_path / "out").exists()
        fault.refused()


def proportional_bytes(pid: int) -> int:
    """Memory of a process and of all that it started; pages that several share count once."""
    taken = 0
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                taken += process.memory_full_info().pss
    return taken


def test_a_build_keeps_to_its_limit(
    faults: Faults, start: Callable[..., Started], reference: Path, tmp_path: Path
) -> None:
    """Eight workers are asked for, and there is room for one."""
    limit = 2.2
    with faults.plant("memory limit", f"{limit} GB") as fault:
        data = tmp_path / "data"
        more = (f"--set=source.path={reference / 'music'}", "--workers", "8", "--memory-limit", str(limit))
        one = start("", words=words_of(data, *more))
        most = taken = 0
        while one.running():
            most = max(most, len(one.decoders()))
            taken = max(taken, proportional_bytes(one.pid))
            time.sleep(0.1)
        ran = one.end()
        assert ran.code == 0, ran.err
        assert most <= 1, f"{most} tracks at once"
        said = re.search(r"^memory: ([0-9.]+) GB at most, in (\d+) processes$", ran.err, re.MULTILINE)
        assert said is not None, ran.err
        assert 0.1 < float(said[1]) <= limit
        # As we saw it, who looked ten times as often.
        assert 1e8 < taken <= limit * 1e9
        assert int(said[2]) >= 1
        # What it took stands in no file.
        require_finished(data, reference)
        fault.recovered()
