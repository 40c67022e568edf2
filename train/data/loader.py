"""Batches ahead of use: a few threads read what the next steps need, in order, from any step on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(make: Callable[[int], T], steps: range, *, threads: int, depth: int) -> Iterator[T]:
    """Yield `make(step)` for every step in order, while `threads` make the next `depth`.

    Since `make` is a pure function of its step, the result does not depend on the threads. An error in `make`
    is raised where its step would have come. Leaving the loop early cancels what was not begun.
    """
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="reader")
    waiting: deque[Future[T]] = deque()
    upcoming = iter(steps)
    try:
        for step in upcoming:
            waiting.append(pool.submit(make, step))
            if len(waiting) >= max(1, depth):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
