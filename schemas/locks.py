"""Locks between processes of this machine, which the system lets go of when their holder ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on this system: nobody waits
    fcntl = None  # type: ignore[assignment]

_BETWEEN_LOOKS_S = 0.05


@contextlib.contextmanager
def held(folder: str, name: str, longest_s: float) -> Iterator[bool]:
    """Hold the lock `name` of a folder within the block.

    Args:
        longest_s: how long a holder is waited for. What the lock spares can be done twice, so after that, as where
            no file can be made, the block runs without it.

    Yields:
        whether the lock is held.
    """
    lock = _taken(Path(folder), name, time.monotonic() + longest_s)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            # Before it is let go: whoever opened it meanwhile sees that it is no longer there, and makes another.
            with contextlib.suppress(OSError):
                (Path(folder) / name).unlink()
            os.close(lock)


def _taken(folder: Path, name: str, until: float) -> int | None:
    """An open file that is locked and stands in the folder, or None."""
    if fcntl is None:
        return None
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (folder / name).stat()):
                return lock
        except FileNotFoundError:  # its holder has removed it
            pass
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                return None
            time.sleep(_BETWEEN_LOOKS_S)
        except OSError:
            os.close(lock)
            return None
        os.close(lock)
