"""Temporary folders: removed when left, and by the next process when theirs was killed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.temporary import temporary_folder

ROOT = Path(__file__).parents[2]
HOLDS = """
import sys
from pipelines.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "copy.db").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""
ABANDONED = "tracklore-temporary-17-abcdefgh"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's temporary folder."""
    found = tmp_path / "tmp"
    found.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(found))
    return found


@contextmanager
def holding(base: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that has a folder until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(base), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def names(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir())


def test_a_folder_is_removed_when_it_is_left(base: Path) -> None:
    with temporary_folder() as one, temporary_folder() as other:
        assert one != other and one.parent == other.parent == base
        assert one.stat().st_mode & 0o077 == 0
        (one / "a").mkdir()
        (one / "a/b").write_text("x")
    assert names(base) == []


def test_a_folder_is_removed_when_its_block_fails(base: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary_folder():
        _ = 1 / 0
    assert names(base) == []


def test_the_folder_of_a_process_that_was_killed_is_removed_by_the_next(base: Path) -> None:
    with holding(base) as (process, theirs):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (theirs / "copy.db").exists()
        with temporary_folder() as folder:
            assert names(base) == [folder.name]


def test_the_folder_of_a_process_at_work_stays(base: Path) -> None:
    with holding(base) as (process, theirs):
        with temporary_folder():
            assert (theirs / "copy.db").exists()
        process.communicate("")
        assert names(base) == []


def test_a_folder_of_this_process_stays_when_another_looks(base: Path) -> None:
    with temporary_folder() as folder, holding(base) as (_, theirs):
        assert names(base) == sorted([folder.name, theirs.name])


def test_nothing_else_is_touched(base: Path, tmp_path: Path) -> None:
    (tmp_path / "dear").mkdir()
    (tmp_path / "dear/file").write_text("x")
    (base / ABANDONED).symlink_to(tmp_path / "dear")
    (base / ABANDONED.replace("17", "18")).write_text("a file")
    for name in ("tracklore-data", "tracklore-2024-november", "tracklore-temporary-", f"{ABANDONED}.bak"):
        (base / name).mkdir()
    before = names(base)
    with temporary_folder():
        pass
    assert names(base) == before
    assert (tmp_path / "dear/file").exists()


def test_a_link_in_an_abandoned_folder_is_not_followed(base: Path, tmp_path: Path) -> None:
    (tmp_path / "dear").mkdir()
    (tmp_path / "dear/file").write_text("x")
    (base / ABANDONED).mkdir()
    (base / ABANDONED / "link").symlink_to(tmp_path / "dear")
    with temporary_folder() as folder:
        assert names(base) == [folder.name]
    assert (tmp_path / "dear/file").exists()


def test_a_folder_of_another_user_stays(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / ABANDONED).mkdir()
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with temporary_folder():
        pass
    assert ABANDONED in names(base)


def test_a_folder_that_was_taken_for_abandoned_before_it_was_locked(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = fcntl.flock
    taken: list[str] = []

    def after_it_is_removed(lock: int, how: int) -> Any:
        if not taken:
            taken.extend(names(base))
            (base / taken[0]).rmdir()
        return true(lock, how)

    monkeypatch.setattr(fcntl, "flock", after_it_is_removed)
    with temporary_folder() as folder:
        assert taken and names(base) == [folder.name] != taken


def test_where_nothing_can_be_locked_nothing_is_abandoned(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: int, how: int) -> None:
        raise OSError(9, "Bad file descriptor")

    (base / ABANDONED).mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert names(base) == [ABANDONED]
