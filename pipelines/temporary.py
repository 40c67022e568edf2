"""Folders of this machine for what a build needs for a moment: copies of remote videos, databases unpacked.

One whose process was killed is removed when the next process makes one there. A lock on a folder tells that it is
used; the system lets go of it when its holder ends, however that ends. Process ids would not tell: those of another
container that shares the disk mean nothing here.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "tracklore-temporary-"
# As no dataset of a user's is called, which may lie beside them.
_OURS = re.compile(_PREFIX + r"\d+-[a-z0-9_]{8}")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder below the machine's temporary one (`TMPDIR`), removed with all in it when the block ends.

    Raises:
        OSError: this machine has no place for it.
    """
    base = tempfile.gettempdir()
    _remove_abandoned(base)
    folder, lock = _made(base)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _made(base: str) -> tuple[str, int | None]:
    while True:
        folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base)
        try:
            return folder, _locked(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # it was taken for an abandoned one before it was locked
        except OSError:
            return folder, None  # where no folder can be locked, none is taken for abandoned


def _locked(folder: str) -> int:
    """An open folder that is locked.

    Raises:
        OSError: another process has it; or it is gone, a link, a file, or another user's.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(lock)
        if not os.path.samestat(status, os.lstat(folder)):
            raise FileNotFoundError(folder)
        if status.st_uid != os.geteuid():
            raise PermissionError(folder)
    except OSError:
        os.close(lock)
        raise
    return lock


@functools.cache  # a folder of many entries is not gone through for each video
def _remove_abandoned(base: str) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(base):  # noqa: PTH208 - names alone
            if _OURS.fullmatch(name):
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(f"{base}/{name}")


def _remove_if_abandoned(folder: str) -> None:
    lock = _locked(folder)
    try:
        shutil.rmtree(folder, ignore_errors=True)  # follows no link
    finally:
        os.close(lock)
