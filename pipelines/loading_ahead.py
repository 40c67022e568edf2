"""Modules that later steps need, loaded while the first one works: some take a second, and none takes an input."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Longer than a module takes to load, from a slow disk too.
_PATIENCE_S = 60.0


@contextmanager
def loading_ahead(modules: Iterable[str]) -> Iterator[None]:
    """Load modules in a thread while the block runs. One that cannot be loaded is missed where it is used.

    The thread is waited for, since a process that ends in the middle of an import may crash; but not without end.
    """
    stopped = threading.Event()
    given = (tuple(dict.fromkeys(modules)), stopped)
    thread = threading.Thread(target=_load, args=given, name="loading-ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(_PATIENCE_S)


def _load(modules: tuple[str, ...], stopped: threading.Event) -> None:
    for name in modules:
        if stopped.is_set():
            return
        # Whatever goes wrong here goes wrong again where somebody can be told.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
