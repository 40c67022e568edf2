"""Caches that cannot be written: a build does without."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.builds import Started, files_of, require_finished
from tests.faults.mounts import mounted
from tests.faults.tally import Faults

Start = Callable[..., Started]


@pytest.mark.parametrize("how", ["no room for a name", "no room for a file", "read-only"])
def test_a_cache_that_cannot_be_written_is_done_without(
    faults: Faults, start: Start, reference: Path, tmp_path: Path, how: str
) -> None:
    music = f"--set=source.path={reference / 'music'}"
    disk, data = tmp_path / "disk", tmp_path / "data"
    most = "nr_inodes=1" if how == "no room for a name" else "size=4k"
    with (
        mounted(disk, "-t", "tmpfs", "-o", most, "tmpfs"),
        faults.plant("cache unwritable", how) as fault,
    ):
        if how == "no room for a file":
            (disk / "filler").write_bytes(b"x" * 4096)
        if how == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        before = files_of(disk)
        one = start(data, music, "--workers", "2", environment={"TRACKLORE_CACHE": str(disk)})
        assert one.end().code == 0, one.err
        assert files_of(disk) == before
        require_finished(data, reference)
        fault.recovered()
