"""SIGTERM ends a training at its next step, its state saved: machines that may be taken away give such notice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
import torch.distributed as dist


class Stop:
    """Whether this process, or any that trains with it, was asked to end."""

    def __init__(self) -> None:
        self.asked = False

    def agreed(self, device: torch.device) -> bool:
        """The same on every rank at the same step: one that was asked ends all."""
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return self.asked
        asked = torch.tensor(float(self.asked), device=device)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        return bool(asked.item())


@contextmanager
def listening(*, forward: bool = False) -> Iterator[Stop]:
    """Take SIGTERM as a wish while the block runs.

    Args:
        forward: pass it on to the processes that this one started.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop
        return

    def handle(number: int, _: FrameType | None) -> None:
        stop.asked = True
        if forward:
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
