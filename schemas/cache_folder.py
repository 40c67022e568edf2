"""Where this machine keeps what was read or worked out before, outside of every dataset."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.errors import UsageError
from schemas.store import Store


def cache_folder() -> str:
    """Where caches lie: `TRACKLORE_CACHE`, or else `tracklore` in the user's folder for caches. It may be deleted
    at any time.

    Raises:
        UsageError: `TRACKLORE_CACHE` is no folder of this machine.
    """
    own = os.environ.get("TRACKLORE_CACHE")
    if own and not Store(own).is_local:
        raise UsageError(f"TRACKLORE_CACHE: {own} is not on this machine; name a folder that is, or unset it")
    return own or f"{os.environ.get('XDG_CACHE_HOME') or Path('~').expanduser() / '.cache'}/tracklore"
