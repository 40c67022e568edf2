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

from pipelines.engine import Engine
from pipelines.memory import BUILD_BYTES, HELD_BYTES, LEAST_TRACK_BYTES, shared, tracks_held
from schemas.errors import UsageError
from tests.faults.builds import Ended, Started, hanging, require_finished, require_true_receipt, words_of
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


@given(
    st.integers(2, 40).map(lambda tenths: BUILD_BYTES + tenths * GB // 10),
    st.integers(1, 16),
    st.integers(0, 2 * GB),
    st.integers(1, 8),
    st.integers(1, 32),
)
def test_no_more_tracks_wait_than_have_room(
    limit: int, workers: int, clip_bytes: int, batch: int, wanted: int
) -> None:
    try:
        share = shared(limit, workers, None)
    except UsageError:
        return
    engine = Engine(workers=share.workers, track_bytes=share.track_bytes, memory_bytes=limit)
    spare = limit - BUILD_BYTES - share.workers * share.track_bytes
    try:
        held = tracks_held(engine, clip_bytes, batch, wanted, "features.a.segments")
    except UsageError as error:
        assert "features.a.segments" in str(error)
        assert clip_bytes > share.track_bytes or batch * clip_bytes > HELD_BYTES + spare
        # What it asks for is enough.
        told = re.search(r"at least ([0-9.]+) GB .* --track-memory ([0-9.]+)$", str(error))
        assert told is not None, error
        enough, track = round(float(told[1]) * GB), round(float(told[2]) * GB)
        given = Engine(workers=shared(enough, 1, track).workers, track_bytes=track, memory_bytes=enough)
        assert tracks_held(given, clip_bytes, batch, wanted, "") >= 0
        return
    assert 0 <= held <= wanted
    assert (held + batch) * clip_bytes <= HELD_BYTES + spare
    assert held == wanted or (held + 1 + batch) * clip_bytes > HELD_BYTES + spare
    assert tracks_held(Engine(), clip_bytes, batch, wanted, "") == wanted


LARGE = (
    "features={big: {kind: log_mel, preset: custom, segments: {}, "
    "mel: {rate: 16000, n_fft: 4096, hop: HOP, mels: 1024}}}"
)


def test_tensors_that_have_no_room_are_refused(
    faults: Faults, command: Command, reference: Path, tmp_path: Path
) -> None:
    with faults.plant("memory limit", "for tensors of half a GB") as fault:
        more = (f"--set=source.path={reference / 'music'}", "--memory-limit", "2.2", "--workers", "2")
        given = words_of(tmp_path / "out", "--set", LARGE.replace("HOP", "10"), *more)
        ran = command(*given)
        assert ran.code == 2, (ran.code, ran.err[-2000:])
        last = ran.err.strip().splitlines()[-1]
        assert "--memory-limit 2.2" in last and "features.big.segments" in last, last
        assert re.search(r"at least [0-9.]+ GB are needed", last), last
        assert not (tmp_path / "out/receipt.json").exists()
        fault.refused()


def proportional_bytes(pid: int) -> int:
    """Memory of a process and of all that it started; pages that several share count once."""
    taken = 0
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                taken += process.memory_full_info().pss
    return taken


def watched_to_its_end(one: Started) -> tuple[Ended, int, int]:
    """How a build ended, the most tracks that it decoded at once, and the most bytes that it took."""
    most = taken = 0
    while one.running():
        most = max(most, len(one.decoders()))
        taken = max(taken, proportional_bytes(one.pid))
        time.sleep(0.1)
    return one.end(), most, taken


def test_a_build_keeps_to_its_limit(
    faults: Faults, start: Callable[..., Started], reference: Path, tmp_path: Path
) -> None:
    """Eight workers are asked for, and there is room for one; without a limit it takes more."""
    limit = 2.2
    with faults.plant("memory limit", f"{limit} GB") as fault:
        data = tmp_path / "data"
        more = (f"--set=source.path={reference / 'music'}", "--workers", "8")
        free, at_once, without = watched_to_its_end(start("", words=words_of(tmp_path / "free", *more)))
        assert free.code == 0, free.err
        ran, most, taken = watched_to_its_end(start("", words=words_of(data, *more, "--memory-limit", str(limit))))
        assert ran.code == 0, ran.err
        assert most <= 1 < at_once, f"{most} and {at_once} tracks at once"
        assert taken < 0.9 * without
        fault.what += f", of which {taken / 1e9:.2f} were taken; {without / 1e9:.2f} without"
        said = re.search(r"^memory: ([0-9.]+) GB at most, in (\d+) processes$", ran.err, re.MULTILINE)
        assert said is not None, ran.err
        assert 0.1 < float(said[1]) <= limit
        # As we saw it, who looked ten times as often.
        assert 1e8 < taken <= limit * 1e9
        assert int(said[2]) >= 1
        # What it took stands in no file.
        require_finished(data, reference)
        fault.recovered()


def test_a_stage_of_the_build_itself_that_takes_too_much(
    faults: Faults, start: Callable[..., Started], reference: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    words = words_of(data, f"--set=source.path={reference / 'music'}", "--workers", "2")
    with faults.plant("memory limit", "3 GB, and splits take 4") as fault:
        environment = hanging(tmp_path / "plant", "pipelines.splits.solver:_search", "takes")
        one = start("", words=[*words, "--memory-limit", "3"], environment=environment)
        one.reach("planted")
        ran = one.end(120)
        assert ran.code == 1 and "Traceback" not in ran.err, ran.err[-2000:]
        last = ran.err.strip().splitlines()[-1]
        assert re.fullmatch(
            r"tracklore: the processes of the build took [34]\.\d\d GB, more than --memory-limit 3, .*build again",
            last,
        ), last
        one.gone()
        require_true_receipt(data)
        assert start("", words=words).end().code == 0
        require_finished(data, reference)
        fault.recovered()
