"""Ctrl-C that comes where an exception would break something or be forgotten: it comes again a moment later."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

_AGAIN_S = 0.05
# Longer than a module takes to load.
_PATIENCE_S = 10.0
_LOADS = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def keep_interrupts() -> None:
    """Let an interrupt come again when it meets a clean-up, where what is raised is printed and forgotten, or a
    module that is being loaded, which would keep the lock of all imports or stay half there.

    Where something else handles interrupts, or in another thread than the main one, only the first.
    """
    _keep_from_clean_ups()
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _OutsideOfImports())


class _OutsideOfImports:
    """Raises an interrupt where no module is being loaded, or where one has been for ten seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._coming = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if _is_loading(frame) and now - (self._since or now) < _PATIENCE_S:
            self._since = self._since or now
            if not self._coming:
                self._coming = True
                _thread.start_new_thread(self._again, ())
            return
        self._since = None
        signal.default_int_handler(number, frame)

    def _again(self) -> None:
        time.sleep(_AGAIN_S)
        self._coming = False
        if self._since is not None:  # it was not raised meanwhile
            _interrupt()


def _is_loading(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in _LOADS:
            return True
        frame = frame.f_back
    return False


def _keep_from_clean_ups() -> None:
    before = sys.unraisablehook
    if getattr(before, "keeps_interrupts", False):
        return

    def hook(told: Any) -> None:
        if not issubclass(told.exc_type, KeyboardInterrupt):
            before(told)
            return
        # From here it would be raised in the same place. A Thread takes locks, which may be held here.
        _thread.start_new_thread(_interrupt_later, ())

    hook.keeps_interrupts = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook


def _interrupt_later() -> None:
    time.sleep(_AGAIN_S)
    _interrupt()


def _interrupt() -> None:
    # Of the two ways the one that ends a sleep, too.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
