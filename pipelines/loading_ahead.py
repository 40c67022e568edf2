"""Modules that later steps need, loaded while the first one works: some take a second, and none takes an input."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def loading_ahead(modules: Iterable[str]) -> Iterator[None]:
    """Load modules in a thread while the block runs. One that cannot be loaded is missed where it is used.

    The thread is waited for, since a process that ends in the middle of an import may crash.
    """
    stopped = threading.Event()
    thread = threading.Thread(target=_load, args=(tuple(dict.fromkeys(modules)), stopped), name="loading-ahead")
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _load(modules: tuple[str, ...], stopped: threading.Event) -> None:
    for name in modules:
        if stopped.is_set():
            return
        # Whatever goes wrong here goes wrong again where somebody can be told.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
