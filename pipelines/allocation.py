"""How a build takes memory from the system: in large pieces, over and over, so it keeps what it lets go of.

Given back, each piece is cleared by the system before it is taken again: a twentieth of the time of a build at the
size of the Million Song Dataset.
"""

from __future__ import annotations

import ctypes
import os

# GNU's C library: pieces up to one size come from its heap, and what is free at the end of the heap is given back
# from the other on.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_FROM_THE_HEAP = 32 << 20
_KEPT = 512 << 20


def keep_freed_memory() -> None:
    """To be called before Arrow is loaded, which reads the choice of its allocator once. A choice that a person
    made in the environment stands."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    mallopt(_MMAP_THRESHOLD, _FROM_THE_HEAP)
    mallopt(_TRIM_THRESHOLD, _KEPT)
