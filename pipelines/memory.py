"""How much memory a build's processes may take together, what follows for each of them, and what they took."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.engine import TRACK_BYTES, Engine
from pipelines.processes import family, memory_bytes, resident_bytes
from pipelines.watch import end_build, watchdogs
from schemas.errors import UsageError

BUILD_BYTES = 1_500_000_000
"""What the build itself takes, and the process that decoders are forked from, before any track is decoded."""

HELD_BYTES = 500_000_000
"""Of these, for tensors that wait to be written: a shard is written track by track, and no more of it is held."""

USUAL_TRACK_BYTES = 500_000_000
LEAST_TRACK_BYTES = 250_000_000
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Share:
    """What a limit leaves.

    Attributes:
        workers: tracks decoded at once.
        track_bytes: for each of them.
    """

    workers: int
    track_bytes: int


def shared(limit: float, workers: int, track_bytes: int | None) -> Share:
    """Divide a limit: as many tracks at once as are asked for and have half a GB each, and to each an equal part.

    Args:
        limit: bytes of all processes together.
        workers: tracks at once, at most.
        track_bytes: for one track, where that is given.

    Raises:
        UsageError: the limit is not enough for the build itself and one track.
    """
    left = int(limit) - BUILD_BYTES
    wanted = track_bytes or min(max(left // workers, USUAL_TRACK_BYTES), TRACK_BYTES)
    if track_bytes is None and LEAST_TRACK_BYTES <= left < wanted:
        wanted = left
    if left < wanted:
        least = BUILD_BYTES + (track_bytes or LEAST_TRACK_BYTES)
        told = f"{BUILD_BYTES / 1e9:g} for the build itself, the rest for one track"
        raise UsageError(f"--memory-limit {limit / 1e9:g}: at least {least / 1e9:g} GB are needed ({told})")
    return Share(max(1, min(workers, left // wanted)), wanted)


def tracks_held(engine: Engine, clip_bytes: int, batch: int, wanted: int, key: str) -> int:
    """How many tracks beside the batch that is worked on may wait to be written; the shard's bytes are the same.

    Args:
        clip_bytes: of the tensors of a usual track.
        batch: tracks that are finished together.
        wanted: as many as that, where they have room.
        key: of the manifest, that says how large a track's tensors are.

    Raises:
        UsageError: one batch has no room, or the tensors of one track have none where they are computed.
    """
    limit = engine.memory_bytes
    if limit is None:
        return wanted
    room = HELD_BYTES + max(0, limit - BUILD_BYTES - engine.workers * engine.track_bytes)
    if batch * clip_bytes > room or clip_bytes > engine.track_bytes:
        track = math.ceil(max(engine.track_bytes, clip_bytes) / 1e8) / 10
        least = BUILD_BYTES + track * 1e9 + max(0, batch * clip_bytes - HELD_BYTES)
        raise UsageError(
            f"--memory-limit {limit / 1e9:g}: {key}: the tensors of a usual track take {clip_bytes / 1e9:.2f} GB, "
            f"{batch} at a time; at least {math.ceil(least / 1e8) / 10:g} GB are needed, "
            f"with --workers 1 --track-memory {track:g}"
        )
    return min(wanted, (room - batch * clip_bytes) // max(1, clip_bytes))


class Peak:
    """The most memory that this process and those that it started were seen to take at once.

    Attributes:
        bytes: pages that several processes share are counted once.
        processes: how many there were then.
    """

    def __init__(self) -> None:
        self.bytes = self.processes = 0

    def look(self) -> int:
        """Count now; return the bytes."""
        pids = [pid for pid in family() if pid not in watchdogs]
        # To count shared pages in parts, the system holds a process up, the longer the larger it is.
        count = resident_bytes() if len(pids) == 1 else sum(memory_bytes(pid) for pid in pids)
        if count > self.bytes:
            self.bytes, self.processes = count, len(pids)
        return count


@contextmanager
def peak_memory(limit_bytes: int | None = None) -> Iterator[Peak]:
    """Look every second while the block runs, and when it ends.

    Args:
        limit_bytes: whoever takes more is ended; see `pipelines.watch.end_build`.
    """
    peak, stop = Peak(), threading.Event()

    def loop() -> None:
        while not stop.wait(_LOOK_EVERY_S):
            taken = peak.look()
            if limit_bytes is not None and taken > limit_bytes:
                told = (
                    f"the processes of the build took {taken / 1e9:.2f} GB, more than --memory-limit "
                    f"{limit_bytes / 1e9:g}, so it was ended; give it more, or fewer --workers, and build again"
                )
                end_build(told, stop)
                return

    thread = threading.Thread(target=loop, name="peak-memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        if os.path.isdir("/proc/self"):  # noqa: PTH112 - no file of a user's
            peak.look()
