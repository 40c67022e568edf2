"""Keeps a decoder's private remarks off the terminal.

libmpg123 writes a line to the process's standard error for each MP3 frame whose bits lie before the place that was
sought; the samples it spoils are decoded and thrown away, so the remark is noise to a user.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_REMARK = b"libmpg123"
# Its remarks on a header that it cannot use, without its name.
_OPENINGS = (b"Note: ", b"Warning: Xing", b"Warning: Encountered", b"Warning: Real sample count")


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Drop libmpg123's lines from standard error while the block runs; pass every other line on."""
    try:
        real = os.dup(2)
    except OSError:  # a process without standard error has nothing to keep quiet
        yield
        return
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    # Python's own stream goes to the real place, so that a progress bar still finds its terminal.
    previous = sys.stderr
    sys.stderr = os.fdopen(os.dup(real), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    thread = threading.Thread(target=forward, args=(os.fdopen(reading, "rb"), real), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = previous
        os.dup2(real, 2)  # closes our writing end of the pipe, which ends the thread
        thread.join(timeout=1)
        if not thread.is_alive():  # a child that was started meanwhile holds the pipe open
            os.close(real)


def forward(stream: IO[bytes], to: int) -> None:
    """Write a stream's lines to a descriptor, but for the decoder's remarks, until the stream ends."""
    with stream:
        for line in stream:
            if _REMARK not in line and not line.startswith(_OPENINGS):
                os.write(to, line)
