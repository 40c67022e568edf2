"""Ctrl-C that comes while Python cleans up after an object, where what is raised is printed and forgotten."""

from __future__ import annotations

import _thread
import sys
import threading
from typing import Any

_AGAIN_S = 0.05


def keep_interrupts() -> None:
    """Let such an interrupt come again a moment later, in place of a traceback and a program that goes on."""
    before = sys.unraisablehook
    if getattr(before, "keeps_interrupts", False):
        return

    def hook(told: Any) -> None:
        if not issubclass(told.exc_type, KeyboardInterrupt):
            before(told)
            return
        # From here it would be raised in the same place.
        again = threading.Timer(_AGAIN_S, _thread.interrupt_main)
        again.daemon = True
        again.start()

    hook.keeps_interrupts = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook
