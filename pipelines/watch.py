"""A limit for what the build's own process does: a stage that gets no further is ended, however it hangs.

Work that an engine or a child process does has limits of its own, and is not watched meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.processes import end_children
from pipelines.progress import signs_of_life
from schemas.errors import DataError

_LOOK_EVERY_S = 0.5
# What holds the main thread may be deaf to an interrupt; so long it may take to clean up.
_LAST_CHANCE_S = 10.0

_limited: list[None] = []


@contextmanager
def limited_elsewhere() -> Iterator[None]:
    """Say that what the block waits for has a limit of its own."""
    _limited.append(None)
    try:
        yield
    finally:
        _limited.pop()


@contextmanager
def watched(label: str, limit_s: float) -> Iterator[None]:
    """End the block when nothing moves on in it for so long: by an interrupt, or where none is heard, by ending
    this process and those that it started.

    Raises:
        DataError: nothing moved on.
    """
    told = (
        f"{label}: nothing was finished for {limit_s:g} s (--stall-timeout), so the build was ended; "
        "build again to go on from there"
    )
    left, stalled = threading.Event(), threading.Event()

    def watch() -> None:
        seen, since = signs_of_life(), time.monotonic()
        while not left.wait(_LOOK_EVERY_S):
            now = signs_of_life()
            if now != seen or _limited:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > limit_s:
                break
        else:
            return
        stalled.set()
        signal.pthread_kill(main, signal.SIGINT)
        if not left.wait(_LAST_CHANCE_S):
            sys.stderr.write(f"tracklore: {told}\n")
            sys.stderr.flush()
            end_children()
            os._exit(1)

    main = threading.main_thread().ident or 0
    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
        left.set()
    except KeyboardInterrupt:
        if stalled.is_set():
            raise DataError(told) from None
        raise
    finally:
        left.set()
        with contextlib.suppress(KeyboardInterrupt):  # one that came as the block ended
            thread.join()
