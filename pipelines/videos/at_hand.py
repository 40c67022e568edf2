"""Videos as files of this machine, where FFmpeg's own reader can seek in them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from schemas.store import Store


@contextmanager
def at_hand(store: Store, *paths: str | None) -> Iterator[list[str | None]]:
    """The files' paths on this machine while the block runs; those of a remote store are copied here for so long.

    Raises:
        OSError: a file cannot be read.
    """
    if store.is_local:
        yield [None if path is None else str(store.local_path(path)) for path in paths]
        return
    with tempfile.TemporaryDirectory(prefix="tracklore-") as folder:
        here: list[str | None] = []
        copied: dict[str, str] = {}
        for number, path in enumerate(paths):
            if path is not None and path not in copied:
                copied[path] = str(Path(folder, f"{number}{PurePosixPath(path).suffix}"))
                with store.open(path) as source, open(copied[path], "wb") as target:  # noqa: PTH123
                    shutil.copyfileobj(source, target, 1 << 20)
            here.append(None if path is None else copied[path])
        yield here
