"""A dataset's files against its receipt, before anything is learnt from them: their sizes, and here their bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.cache_folder import cache_folder
from schemas.digests import digest_of
from schemas.errors import DataError
from schemas.file_digests import RememberedDigests
from schemas.locks import held
from schemas.receipt import FileEntry
from schemas.store import FileInfo, Store
from schemas.terminal import PlainConsole

# A hash computes without Python's lock. More at once than this pays on no disk.
_AT_ONCE = 8
# Terabytes are read in that time.
_LONGEST_WAIT_S = 3600.0
_SILENT_S = 2.0


def check_size(store: Store, path: str, entry: FileEntry) -> None:
    """Check that a file is there and as long as the receipt says.

    Raises:
        DataError: it is not.
    """
    size = store.size(path)
    if size is None:
        raise DataError(f"{store.root}/{path}: is missing; run tracklore build to make it again")
    if size != entry.bytes:
        raise DataError(
            f"{store.root}/{path}: has {size} bytes, and the receipt says {entry.bytes}; "
            "run tracklore build to make it again"
        )


def check_bytes(store: Store, entries: Mapping[str, FileEntry]) -> None:
    """Check that files of this machine hold the bytes that the receipt lists.

    Each is read once: its digest is remembered in the user's folder for caches until its size or time changes, so
    a disk that rots under a file it already gave is found by `tracklore verify` alone. Of several processes, such
    as a training's, one reads while the others wait. A remote store's files are not read: it checks what it sends.

    Raises:
        DataError: a file is missing, cannot be read, or is another than the listed one.
    """
    if not store.is_local:
        return
    listed = {_info(store, path, entry): entry for path, entry in entries.items()}
    if not _unknown(RememberedDigests(store), listed):
        return
    with held(f"{cache_folder()}/locks", f"bytes-{digest_of(store.root)[:40]}", _LONGEST_WAIT_S):
        memory = RememberedDigests(store)
        _check(store, memory, _unknown(memory, listed))


def _info(store: Store, path: str, entry: FileEntry) -> FileInfo:
    """What `Store.list` tells of a file, so that a build's memory of it and ours are one."""
    check_size(store, path, entry)
    local = store.local_path(path)
    assert local is not None
    try:
        status = local.stat()
    except OSError as error:
        raise _unreadable(store, path, error) from error
    return FileInfo(path, status.st_size, f"{status.st_mtime_ns}")


def _unknown(memory: RememberedDigests, listed: Mapping[FileInfo, FileEntry]) -> dict[FileInfo, FileEntry]:
    return {info: entry for info, entry in listed.items() if memory.of(info) != entry.sha256}


def _check(store: Store, memory: RememberedDigests, listed: Mapping[FileInfo, FileEntry]) -> None:
    """Read files, and remember those that are right: one that is not may be mended without a change of its time."""
    right: dict[FileInfo, str] = {}

    def digest(info: FileInfo) -> str:
        try:
            return store.sha256(info.path)
        except OSError as error:
            raise _unreadable(store, info.path, error) from error

    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="checks")
    try:
        with _bar(sum(info.bytes for info in listed)) as advance:
            for (info, entry), found in zip(listed.items(), pool.map(digest, listed), strict=True):
                if found != entry.sha256:
                    raise DataError(
                        f"{store.root}/{info.path}: its checksum is not the receipt's; tracklore build --check "
                        "makes it again, and tracklore verify names every such file"
                    )
                right[info] = found
                advance(info.bytes)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        memory.keep(right)


def _unreadable(store: Store, path: str, error: OSError) -> DataError:
    return DataError(
        f"{store.root}/{path}: cannot be read ({error.strerror or error}); tracklore build --check makes it again"
    )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A bar of bytes for whoever has waited a while; a line where there is no terminal."""
    console = PlainConsole(stderr=True)
    columns = (TextColumn("Checking files"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task, began, started = bar.add_task("", total=total), time.monotonic(), False

    def advance(more: int) -> None:
        nonlocal started
        bar.advance(task, more)
        if not started and time.monotonic() - began > _SILENT_S:
            started = True
            bar.start()
            if not console.is_terminal:
                console.print(
                    f"Checking {total / 1e9:.1f} GB against the receipt, once: what is right is remembered.",
                    highlight=False,
                )

    try:
        yield advance
    finally:
        bar.stop()
