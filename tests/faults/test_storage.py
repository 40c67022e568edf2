"""Disks that are full or read-only, files that rot, change or vanish, clocks that go back, two builds at once."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import DataError
from schemas.receipt import require_receipt
from schemas.store import Store
from schemas.tables import TABLES
from tests.faults.builds import (
    ROOT,
    Ended,
    Started,
    digest,
    files_of,
    require_finished,
    require_true_receipt,
    words_of,
)
from tests.faults.mounts import mounted
from tests.faults.tally import Faults, share_of
from train.data.dataset import Dataset

Command = Callable[..., Any]
Start = Callable[..., Started]


def clear(ran: Any) -> str:
    """Require an end that a person understands: exit 1 or 2, no traceback, and a last line of ours.

    Raises:
        AssertionError: it is none.
    """
    assert ran.code in (1, 2), (ran.code, ran.err[-2000:])
    assert "Traceback" not in ran.err, ran.err[-3000:]
    last = str(ran.err).strip().splitlines()[-1]
    assert last.startswith("tracklore: "), ran.err[-2000:]
    return last


def words(data: Path | str, reference: Path, *more: str) -> list[str]:
    return words_of(data, f"--set=source.path={reference / 'music'}", "--workers", "2", *more)


@pytest.mark.parametrize("number", range(share_of(12)))
def test_a_disk_that_is_full(
    faults: Faults, command: Command, start: Start, reference: Path, tmp_path: Path, number: int
) -> None:
    draws = random.Random(f"full {number}")
    total = sum((reference / path).stat().st_size for path in files_of(reference))
    inodes = number % 4 == 3
    most = (
        f"nr_inodes={draws.randint(4, 14)}" if inodes else f"size={draws.randint(8, 100) * total // 100 // 1024}k"
    )
    disk = tmp_path / "disk"
    with (
        mounted(disk, "-t", "tmpfs", "-o", most, "tmpfs"),
        faults.plant("disk full", most) as fault,
    ):
        ran = start("", words=words(disk / "data", reference)).end()
        last = clear(ran)
        assert os.strerror(28) in last, last
        if (disk / "data").exists():
            require_true_receipt(disk / "data")
        subprocess.run(["mount", "-o", "remount,size=1g,nr_inodes=0", str(disk)], check=True)
        again = command(*words(disk / "data", reference))
        assert again.code == 0, again.err
        require_finished(disk / "data", reference)
        fault.recovered()


def test_a_limit_on_the_size_of_files(
    faults: Faults, command: Command, start: Start, reference: Path, tmp_path: Path
) -> None:
    for number, most in enumerate((3_000_000, 20_000)[: share_of(10)]):
        with faults.plant("limit on files", f"{most} bytes") as fault:
            data = tmp_path / f"data-{number}"
            ran = start("", words=words(data, reference), prefix=("prlimit", f"--fsize={most}")).end()
            assert os.strerror(27) in clear(ran)
            require_true_receipt(data)
            assert command(*words(data, reference)).code == 0
            require_finished(data, reference)
            fault.recovered()


def test_an_output_that_cannot_be_written(
    faults: Faults, command: Command, reference: Path, tmp_path: Path
) -> None:
    empty, whole = tmp_path / "empty", tmp_path / "whole"
    empty.mkdir()
    shutil.copytree(reference, whole)
    for folder, more in ((empty, ()), (whole, ("--set", "splits.seed=1"))):
        before = {path: digest(folder / path) for path in files_of(folder)}
        with mounted(folder, "--bind", str(folder)):
            subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
            with faults.plant("read-only output", folder.name) as fault:
                last = clear(command(*words(folder, reference, *more)))
                assert "cannot be written" in last and os.strerror(30) in last
                assert before == {path: digest(folder / path) for path in files_of(folder)}
                fault.refused()
            if folder is whole:
                with faults.plant("read-only output", "verified") as fault:
                    assert command("verify", folder).code == 0
                    fault.recovered()


def test_a_folder_that_no_file_may_be_added_to(
    faults: Faults, command: Command, reference: Path, copy: Path
) -> None:
    """It may be locked, and nothing else: the fault comes in mid-build."""
    (copy / ".lock").touch()
    if subprocess.run(["chattr", "+a", str(copy / "features")], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no attributes")
    subprocess.run(["chattr", "+i", str(copy / "features/ttmr")], check=True)
    try:
        with faults.plant("read-only output", "a folder of shards") as fault:
            changed = ("--set", "features.ttmr.min_s=2.5")
            assert os.strerror(1) in clear(command(*words(copy, reference, *changed)))
            require_true_receipt(copy)
            fault.refused()
    finally:
        subprocess.run(["chattr", "-i", str(copy / "features/ttmr")], check=True)
        subprocess.run(["chattr", "-a", str(copy / "features")], check=True)
    with faults.plant("read-only output", "and then not") as fault:
        assert command(*words(copy, reference)).code == 0
        require_finished(copy, reference)
        fault.recovered()


def test_an_output_on_another_file_system(faults: Faults, start: Start, reference: Path, tmp_path: Path) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm")
    data = Path("/dev/shm") / f"tracklore-{os.getpid()}"
    assert data.parent.stat().st_dev != tmp_path.stat().st_dev
    try:
        with faults.plant("another file system", str(data.parent)) as fault:
            one = start("", words=words(data, reference))
            assert one.end().code == 0, one.err
            require_finished(data, reference)
            left = [path for path in one.temporary.rglob("*") if path.is_file()]
            assert not left, f"left behind: {left}"
            fault.recovered()
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.parametrize("number", range(share_of(12)))
def test_two_builds_into_one_directory(
    faults: Faults,
    start: Start,
    reference: Path,
    undisturbed: list[tuple[float, str]],
    tmp_path: Path,
    number: int,
) -> None:
    draws = random.Random(f"two {number}")
    data = tmp_path / "data"
    # Most of all when the first is about to end, and draws its pages.
    later = draws.uniform(0, 3) if number % 2 else 0.0
    with faults.plant("two builds at once", f"the second {later:.1f} s behind") as fault:
        first = start("", words=words(data, reference))
        if number % 2 == 0:
            first.wait_for(lambda: first.said("splits:"))
        time.sleep(later)
        ends: list[Ended] = []
        while first.running() or not ends:
            ends.append(start("", words=words(data, reference)).end())
        assert first.end().code == 0, first.err
        for ran in ends:
            if ran.code:
                assert "another build is at work" in clear(ran)
        require_finished(data, reference)
        fault.recovered()


# Every process of the build gets it, at once or when it is so many seconds old.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*true_clock)(clockid_t, struct timespec *);
static double late = 0, began = 0;
static long back = 0;

__attribute__((constructor)) static void begin(void) {
    struct timespec now;
    true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    true_clock(CLOCK_MONOTONIC, &now);
    began = now.tv_sec + 1e-9 * now.tv_nsec;
    if (getenv("CLOCK_BACK")) back = atol(getenv("CLOCK_BACK"));
    if (getenv("CLOCK_LATE")) late = atof(getenv("CLOCK_LATE"));
}
int clock_gettime(clockid_t clock, struct timespec *at) {
    struct timespec now;
    if (!true_clock) begin();
    int found = true_clock(clock, at);
    true_clock(CLOCK_MONOTONIC, &now);
    if (clock == CLOCK_REALTIME && now.tv_sec + 1e-9 * now.tv_nsec - began >= late) at->tv_sec -= back;
    return found;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    int found = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return found;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""
YEAR_S = 365 * 86_400


def test_a_build_whose_clock_is_set_back(
    faults: Faults, start: Start, command: Command, reference: Path, tmp_path: Path
) -> None:
    """For all of its processes, and no other; files get their times from the system, which keeps the right one."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler is here to make a clock with")
    (tmp_path / "clock.c").write_text(CLOCK)
    clock = tmp_path / "clock.so"
    made = [compiler, "-shared", "-fPIC", "-O1", "-o", str(clock), str(tmp_path / "clock.c"), "-ldl"]
    subprocess.run(made, check=True)
    for number, late in enumerate((0.0, 6.0, 3.0)[: share_of(15)]):
        with faults.plant("clock set back", f"a year, {late:.0f} s after each process began") as fault:
            environment = {"LD_PRELOAD": str(clock), "CLOCK_LATE": str(late), "CLOCK_BACK": str(YEAR_S)}
            told = [sys.executable, "-c", f"import time; time.sleep({late}); print(time.time())"]
            read = subprocess.run(told, env={**os.environ, **environment}, capture_output=True, check=True).stdout
            assert abs(time.time() - float(read) - YEAR_S) < 60, "it was not set back"
            data = tmp_path / f"data-{number}"
            one = start("", words=words(data, reference), environment=environment)
            ran = one.end()
            assert ran.code == 0, ran.err
            require_finished(data, reference)
            # By the right clock what stands is of the future or of the past, and stands.
            ran = command(*words(data, reference, "--check"))
            assert ran.code == 0 and "nothing to do" in ran.out, ran.err
            require_finished(data, reference)
            fault.recovered()


# Files of the dataset are opened by Python, and written by it, whoever makes their bytes.
QUOTA = """
import builtins, errno, io, os
true, most = builtins.open, int(os.environ["QUOTA"])
written = 0
class Counted(io.FileIO):
    def write(self, data):
        global written
        written += memoryview(data).nbytes
        if written > most:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return super().write(data)
def opened(file, mode="r", *arguments, **named):
    if "w" in mode and "b" in mode and str(file).startswith(os.environ["QUOTA_BELOW"]):
        return io.BufferedWriter(Counted(file, "w"))
    return true(file, mode, *arguments, **named)
builtins.open = opened
"""


def test_a_quota_that_is_used_up(
    faults: Faults, start: Start, command: Command, reference: Path, tmp_path: Path
) -> None:
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota/sitecustomize.py").write_text(QUOTA)
    total = sum((reference / path).stat().st_size for path in files_of(reference))
    for number, part in enumerate((50, 5, 20, 80, 95)[: share_of(20)]):
        with faults.plant("quota", f"{part} % of what is needed") as fault:
            data = tmp_path / f"data-{number}"
            environment = {
                "PYTHONPATH": f"{tmp_path / 'quota'}:{ROOT}",
                "QUOTA": str(total * part // 100),
                "QUOTA_BELOW": str(data),
            }
            ran = start("", words=words(data, reference), environment=environment).end()
            last = clear(ran)
            assert ran.code == 1, (ran.code, last)
            assert os.strerror(errno.EDQUOT) in last and str(data) in last, last
            require_true_receipt(data)
            assert not [path for path in files_of(data) if "_tmp-" in path], "half a file was left"
            assert command(*words(data, reference)).code == 0
            require_finished(data, reference)
            fault.recovered()


def test_clocks_that_went_back(
    faults: Faults, command: Command, reference: Path, copy: Path, tmp_path: Path
) -> None:
    music = tmp_path / "music"
    shutil.copytree(reference / "music", music)
    given = words_of(copy, f"--set=source.path={music}", "--workers", "2")
    assert command(*given).code == 0
    draws = random.Random("clocks")
    for number, moment in enumerate((4e9, 0.0, -1e9, 1e9)[: share_of(10)]):
        with faults.plant("clock set back", f"files of the second {moment:.0f}") as fault:
            for path in [*music.rglob("*"), *copy.rglob("*")]:
                os.utime(path, (moment, moment + draws.random()))
            ran = command(*given, *(("--check",) if number % 2 else ()))
            assert ran.code == 0, ran.err
            require_finished(copy, reference)
            (copy / "tags.parquet").unlink()
            assert command(*given).code == 0
            require_finished(copy, reference)
            fault.recovered()


def test_an_input_that_changes_under_the_build(
    faults: Faults, start: Start, command: Command, reference: Path, tmp_path: Path
) -> None:
    for number, stage in enumerate(("features.ttmr:", "tags:", "recordings:", "splits:")[: share_of(10)]):
        with faults.plant("input changed", f"in {stage}") as fault:
            music, data = tmp_path / f"music-{number}", tmp_path / f"data-{number}"
            shutil.copytree(reference / "music", music)
            given = words_of(data, f"--set=source.path={music}", "--workers", "2")
            one = start("", words=given)
            one.reach(stage)
            pieces = sorted(path for path in music.rglob("*.flac") if path.stat().st_size > 100_000)
            spare = tmp_path / "spare"
            shutil.copyfile(pieces[3], spare)
            spare.replace(pieces[1])
            last = clear(one.end())
            assert pieces[1].name in last and "changed while the dataset was built" in last, last
            ran = command(*given)
            assert ran.code == 0, ran.err
            fresh = words_of(tmp_path / f"fresh-{number}", f"--set=source.path={music}", "--workers", "2")
            assert command(*fresh).code == 0
            require_finished(data, tmp_path / f"fresh-{number}")
            fault.recovered()


def test_an_input_that_vanishes(
    faults: Faults, start: Start, command: Command, reference: Path, tmp_path: Path
) -> None:
    for number, stage in enumerate(("features.ttmr:", "source:", "features.fp:")[: share_of(10)]):
        with faults.plant("input vanished", f"in {stage}") as fault:
            music, data = tmp_path / f"music-{number}", tmp_path / f"data-{number}"
            shutil.copytree(reference / "music", music)
            given = words_of(
                data, f"--set=source.path={music}", "--workers", "2", manifest="folder", settings=FOLDER
            )
            one = start("", words=given)
            one.reach(stage)
            music.rename(tmp_path / "away")
            ran = one.end()
            if ran.code:
                clear(ran)
                assert "Traceback" not in ran.err
            require_true_receipt(data)
            assert not [path for path in files_of(data) if "_tmp-" in path]
            gone = clear(command(*given))
            assert "source.path" in gone or "music" in gone, gone
            (tmp_path / "away").rename(music)
            assert command(*given, "--retry").code == 0
            fresh = words_of(tmp_path / f"fresh-{number}", *given[4:], manifest="folder", settings=())
            assert command(*fresh).code == 0
            require_finished(data, tmp_path / f"fresh-{number}")
            fault.recovered()


FOLDER = ("features.fp={kind: fingerprint}",)


def rot(path: Path, draws: random.Random, how: str) -> None:
    """Damage a file."""
    content = bytearray(path.read_bytes())
    place = draws.randrange(len(content))
    if how == "bit flipped":
        content[place] ^= 1 << draws.randrange(8)
    elif how == "truncated":
        del content[place:]
    elif how == "zeroed":
        content[place : place + 4096] = bytes(min(4096, len(content) - place))
        if bytes(content) == path.read_bytes():
            content[0] ^= 255
    elif how == "grown":
        content += draws.randbytes(draws.randint(1, 5000))
    elif how == "emptied":
        content.clear()
    path.write_bytes(content)


HOW = ("bit flipped", "truncated", "zeroed", "bit flipped", "grown", "truncated", "emptied", "vanished")


def test_files_that_rot(faults: Faults, command: Command, reference: Path, copy: Path) -> None:
    listed = sorted(require_receipt(Store(str(reference))).files())
    shards = [path for path in listed if path.startswith("features/")]
    draws = random.Random("rot")
    given = words(copy, reference, "--check")
    for number in range(share_of(30)):
        how = HOW[number % len(HOW)]
        # Every other one is a shard.
        path = draws.choice(shards if number % 2 == 0 else listed)
        with faults.plant(f"file {how}", path) as fault:
            if how == "vanished":
                (copy / path).unlink()
            else:
                rot(copy / path, draws, how)
            found = command("verify", copy)
            assert found.code == 1 and path in found.out, found
            clear(found)
            if is_read(path):
                require_refused(copy, path)
            if path.startswith("features/ttmr/"):
                ran = command("train", "demo", "--data", copy, "--out", copy.parent / "run")
                assert ran.code == 1 and path in clear(ran), ran
            ran = command(*given)
            assert ran.code == 0, ran.err
            require_finished(copy, reference)
            if is_read(path):
                read(copy, path)
            fault.recovered()


TABLE_OF = {table.filename: table for table in TABLES.values()}


def is_read(path: str) -> bool:
    """Whether the trainer may learn from a file; pages and cards are for people."""
    return path.startswith("features/") or path in TABLE_OF


def read(data: Path, path: str) -> None:
    """Open a file of a dataset as a training does."""
    dataset = Dataset(str(data))
    if path in TABLE_OF:
        assert dataset.read(TABLE_OF[path])
    else:
        assert len(dataset.reader(path.split("/")[1]))


def require_refused(data: Path, path: str) -> None:
    """Require that no training takes the file, and that the way out is told."""
    with pytest.raises(DataError, match=rf"^{re.escape(str(data / path))}: .*tracklore build[^\n]*$"):
        read(data, path)


def test_receipts_that_rot(faults: Faults, command: Command, reference: Path, copy: Path) -> None:
    draws = random.Random("receipts")
    given, path = words(copy, reference), copy / "receipt.json"
    for number in range(share_of(20)):
        how = HOW[number % (len(HOW) - 1)]
        with faults.plant(f"receipt {how}", f"{number}") as fault:
            rot(path, draws, how)
            clear(command("verify", copy))
            ran = command(*given, "--check")
            if ran.code:
                assert any(words in clear(ran) for words in ("delete it and build again", "this version reads")), (
                    ran.err
                )
                path.unlink()
                ran = command(*given, "--check")
            assert ran.code == 0, ran.err
            require_finished(copy, reference)
            fault.recovered()
