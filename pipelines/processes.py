"""This process and those that it has started, as Linux lists them in /proc; elsewhere there is only this one."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_KB = 1024


def family() -> list[int]:
    """The process ids of this process and of all that it, or one of those, has started."""
    children: dict[int, list[int]] = {}
    for pid in _listed():
        parent = _parent_of(pid)
        if parent is not None:
            children.setdefault(parent, []).append(pid)
    found = [os.getpid()]
    for pid in found:  # grows while it is gone through
        found.extend(children.get(pid, []))
    return found


def resident_bytes() -> int:
    """Memory of this process, by a look that does not hold it up; 0 where that is not told."""
    try:
        return int((_PROC / "self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def memory_bytes(pid: int) -> int:
    """Memory of a process, pages that several share counted in parts; 0 of one that is gone."""
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (_PROC / str(pid) / name).read_text("ascii", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1]) * _KB
    return 0


def end_those_that_run(words: str) -> None:
    """Kill every process that this one has started, or one of those, whose command line has `words` in it."""
    wanted = words.encode()
    for pid in family()[1:]:
        try:
            command = (_PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def end_children() -> None:
    """Kill every process that this one has started, or one of those."""
    for pid in reversed(family()[1:]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _listed() -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from (int(name) for name in os.listdir(_PROC) if name.isdecimal())  # noqa: PTH208 - names alone


def _parent_of(pid: int) -> int | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[1])  # the name in brackets may have blanks and brackets
