"""Videos as files of this machine, where FFmpeg's own reader can seek in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipelines.temporary import temporary_folder
from schemas.plain import last_line
from schemas.store import Store

_PART_BYTES = 1 << 20


class NotAtHandError(OSError):
    """A remote file could not be read."""


@contextmanager
def at_hand(store: Store, *paths: str | None) -> Iterator[list[str | None]]:
    """The files' paths on this machine while the block runs; those of a remote store are copied here for so long.

    Raises:
        NotAtHandError: a remote file cannot be read.
        OSError: this machine cannot hold the copy.
    """
    if store.is_local:
        yield [None if path is None else str(store.local_path(path)) for path in paths]
        return
    with temporary_folder() as folder:
        here: list[str | None] = []
        copied: dict[str, str] = {}
        for number, path in enumerate(paths):
            if path is not None and path not in copied:
                copied[path] = str(Path(folder, f"{number}{PurePosixPath(path).suffix}"))
                with open(copied[path], "wb") as target:  # noqa: PTH123
                    for part in _parts(store, path):
                        target.write(part)
            here.append(None if path is None else copied[path])
        yield here


def _parts(store: Store, path: str) -> Iterator[bytes]:
    try:
        with store.open(path) as source:
            while part := source.read(_PART_BYTES):
                yield part
    except Exception as error:  # clients of stores raise errors of kinds of their own
        raise NotAtHandError(f"{path}: {last_line(getattr(error, 'strerror', None) or error)}") from error
