"""How fast a training goes, what it waits for and what memory it takes. None of it decides anything."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


class Speed:
    """Measures between two calls of `figures`.

    Args:
        clips: a step, over all ranks.
    """

    def __init__(self, clips: int, device: torch.device) -> None:
        self._clips, self._device = clips, device
        self._begin()

    def _begin(self) -> None:
        self._started, self._steps, self._waited = time.perf_counter(), 0, 0.0

    def waiting_for(self, items: Iterable[T]) -> Iterator[T]:
        """The items; how long each one took to come counts as waiting."""
        iterator = iter(items)
        while True:
            asked = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self._waited += time.perf_counter() - asked
            self._steps += 1
            yield item

    def figures(self) -> dict[str, float]:
        """Since the last call `clips_per_s` and `loader_wait`, a share of the time; `memory_gb`, the most ever."""
        seconds = max(1e-9, time.perf_counter() - self._started)
        found = {
            "clips_per_s": self._steps * self._clips / seconds,
            "loader_wait": min(1.0, self._waited / seconds),
            "memory_gb": memory_bytes(self._device) / 1e9,
        }
        self._begin()
        return found


def memory_bytes(device: torch.device) -> int:
    """The most that this process has held: of the GPU where it computes, else of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024
