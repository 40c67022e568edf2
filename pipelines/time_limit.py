"""A limit for work that may never end, in a thread: its result is not waited for any longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def ended(work: Callable[[], T], seconds: float) -> T | None:
    """What `work` gives, or None where it has not ended in time.

    The thread is left to itself, and ends with the process at the latest. Work that may kill its process, or eats
    memory, needs a process of its own (`pipelines.features.isolation`).

    Raises:
        Exception: what `work` raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else None
