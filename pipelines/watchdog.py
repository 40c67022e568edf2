"""A process that ends the one that started it when that one's threads do not run any more.

Its word is how many seconds of silence it bears. Each line that it reads is a sign of life, and what is to be told
when there are no more. It is run without site packages, and imports nothing of ours: it is there at once.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

_TICK_S = 1.0


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, or one of those, where the system lists them."""
    found = [pid]
    for parent in found:  # grows while it is gone through
        for listed in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in listed.read_text().split())
            except OSError:
                continue
    return found[1:]


def last_words(silence_s: float) -> str | None:
    """Read signs of life; what the last one said when there was none for so long, None when there are no more.

    Seconds are counted as they are waited for, so that those in which this process was stopped, as the other may
    have been, are none.
    """
    told, heard, silent_s = b"", b"", 0.0
    while silent_s < silence_s:
        if not select.select([0], [], [], _TICK_S)[0]:
            silent_s += _TICK_S
            continue
        read = os.read(0, 1 << 16)
        if not read:
            return None
        *lines, heard = (heard + read).split(b"\n")
        told, silent_s = (lines[-1] if lines else told), 0.0
    return told.decode("utf-8", "replace")


def main() -> None:
    """Watch the parent until it ends, or end it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build
    parent = os.getppid()
    told = last_words(float(sys.argv[1]))
    if told is None or os.getppid() != parent:
        return
    sys.stderr.write(f"tracklore: {told}\n")
    sys.stderr.flush()
    for pid in [parent, *descendants(parent)]:
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


if __name__ == "__main__":
    main()
