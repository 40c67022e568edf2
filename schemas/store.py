"""The one door for paths: every file of a dataset, a source or a run is opened through a `Store`.

A store is a folder anywhere fsspec reaches (`data`, `gs://bucket/data`, `s3://…`, `memory://data`). Relative
paths are POSIX, never leave the folder, and mean the same on every kind of store.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.clients import (
    LOUD,
    BufferedRemoteStream,
    RemoteFiles,
    RemoteStream,
    failures_as_of_disks,
    options_of,
    whole_or_none,
)
from schemas.digests import digest_of_stream
from schemas.errors import DataError, UsageError

TEMPORARY_PREFIX = "_tmp-"
LINKED_FOLDER = "linked folder"
T = TypeVar("T")
R = TypeVar("R")
_AT_ONCE = 32
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# A file that could not be written is given up before the patience of whoever waits for the end is.
_GIVE_UP_S = 10.0
# Longer than any writer waits between two parts of a file.
_ABANDONED_S = 24 * 3600.0
NO_FILE = "pipe, socket or device"
_KNOWN_EXTRAS = {"gs": "gcp", "gcs": "gcp", "s3": "s3"}
_guards: dict[str, Callable[[], None]] = {}
_glances: dict[str, Callable[[], None]] = {}


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a listing tells of a file without opening it. `stamp` changes when the file may have changed."""

    path: str
    bytes: int
    stamp: str


class OutsideStoreError(UsageError):
    """A relative path that would leave its store."""


def relative_path(path: str) -> str:
    """Return `path` as a clean relative POSIX path.

    Raises:
        OutsideStoreError: absolute, empty, with `..`, a NUL or a drive.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\x00" in path or "://" in path:
        raise OutsideStoreError(f"{path!r}: not a path inside its folder; use a relative path without '..'")
    return str(PurePosixPath(*parts))


@dataclass(frozen=True)
class Store:
    """A folder, local or remote. Cheap to build and to pickle: the file system is opened where it is used."""

    root: str

    @cached_property
    def _located(self) -> tuple[Any, str]:
        try:
            scheme = self.root.partition("://")[0]
            with failures_as_of_disks(self.root):  # some clients ask for credentials as they are made
                fs, path = fsspec.core.url_to_fs(self.root, **options_of(scheme))
            if scheme in LOUD:
                logging.getLogger(LOUD[scheme]).setLevel(logging.CRITICAL)
        except (ImportError, ValueError) as error:
            extra = _KNOWN_EXTRAS.get(scheme)
            way_out = f"install tracklore[{extra}]" if extra else "use a local path, gs://, s3:// or memory://"
            raise UsageError(f"{self.root}: cannot reach this kind of store ({error}); {way_out}") from error
        path = str(path).rstrip("/") or "/"
        return (fs if isinstance(fs, LocalFileSystem) else RemoteFiles(fs, self.root, path)), path

    def __getstate__(self) -> dict[str, str]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, str]) -> None:
        object.__setattr__(self, "root", state["root"])

    @property
    def is_local(self) -> bool:
        """Whether the files lie on this machine's file system."""
        return isinstance(self._located[0], LocalFileSystem)

    @property
    def is_shared(self) -> bool:
        """Whether another process sees the same files (a `memory://` store lives in one process)."""
        return not self.root.startswith("memory://")

    def full(self, relative: str) -> str:
        """The path that the file system underneath knows."""
        return f"{self._located[1].rstrip('/')}/{relative_path(relative)}"

    def local_path(self, relative: str) -> Path | None:
        """The path on this machine, or None for a remote store; for readers that map memory.

        Raises:
            OutsideStoreError: a symbolic link on the way leads out of the folder.
        """
        if not self.is_local:
            return None
        return Path(self.full(relative))

    def inside(self, relative: str) -> bool:
        """Whether the file, its symbolic links followed, lies in the folder. Remote stores have no links."""
        path = self.local_path(relative)
        # realpath, for Path.resolve raises where a link leads to itself.
        return path is None or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._located[1]))

    def exists(self, relative: str) -> bool:
        """Whether there is a file (or folder) of that name."""
        return bool(self._located[0].exists(self.full(relative)))

    def is_folder(self, relative: str) -> bool:
        """Whether there is a folder of that name."""
        fs = self._located[0]
        if isinstance(fs, LocalFileSystem):
            return bool(fs.isdir(self.full(relative)))
        try:  # to a client's own `isdir` a store that fails is one that has no such folder
            return bool(fs.info(self.full(relative))["type"] == "directory")
        except FileNotFoundError:
            return False

    def root_exists(self) -> bool:
        """Whether the folder itself is there."""
        return bool(self._located[0].exists(self._located[1]))

    def info(self, relative: str) -> FileInfo:
        """Size and stamp of one file.

        Raises:
            FileNotFoundError: there is none.
        """
        return self._info_of(relative, self._located[0].info(self.full(relative)))

    def size(self, relative: str) -> int | None:
        """Bytes of the file, or None when there is none."""
        try:
            return self.info(relative).bytes
        except FileNotFoundError:
            return None

    def list(self, below: str = "", *, no_files: bool = False) -> list[FileInfo]:
        """Every file below a folder (the whole store by default), sorted by path, temporaries left out.

        Args:
            no_files: list what is no file as well, with the stamp `NO_FILE`; opening it may never end.
        """
        fs, root = self._located
        base = self.full(below) if below else root
        if isinstance(fs, LocalFileSystem):
            found_here = (info for info in self._walk_local(Path(base)) if no_files or info.stamp != NO_FILE)
            return sorted(found_here, key=lambda info: info.path)
        fs.invalidate_cache()
        try:
            found = fs.find(base, detail=True)
        except FileNotFoundError:
            return []
        finally:
            fs.invalidate_cache()  # what another process writes now would be taken not to be there
        # A folder that seems empty to a store whose lists are late is told as itself.
        files = {name: entry for name, entry in found.items() if entry.get("type") != "directory"}
        infos = [self._info_of(name[len(root) :].lstrip("/"), entry) for name, entry in files.items()]
        return sorted((i for i in infos if not _is_temporary(i.path)), key=lambda info: info.path)

    def open(self, relative: str) -> BinaryIO:
        """Open a file for reading bytes.

        Raises:
            OSError: it cannot be opened, or is a pipe or a device, which could be waited for without end.
        """
        self._require_file(relative)
        stream = self._opened(relative)
        return cast(BinaryIO, BufferedRemoteStream(stream)) if isinstance(stream, RemoteStream) else stream

    def open_random(self, relative: str) -> BinaryIO:
        """Open a file to read small parts of it: a remote one gives what is asked for, and nothing ahead."""
        self._require_file(relative)
        fs = self._located[0]
        how = {} if isinstance(fs, LocalFileSystem) else {"cache_type": "none"}
        return cast(BinaryIO, self._opened(relative, **how))

    def _opened(self, relative: str, **how: Any) -> BinaryIO | RemoteStream:
        fs = self._located[0]
        if isinstance(fs, LocalFileSystem):
            return cast(BinaryIO, fs.open(self.full(relative), "rb", **how))
        path = self.full(relative)
        # Decoders read by a few kB, and gcsfs, left to itself, asks for each of them.
        how = {"cache_type": "readahead", **how}
        return RemoteStream(fs.open(path, "rb", **how), fs.place(path))

    def _require_file(self, relative: str) -> None:
        path = self.local_path(relative)
        if path is None:
            return
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "is a pipe or a device, not a file", str(path))

    def read_bytes(self, relative: str) -> bytes:
        """The whole file."""
        with self.open(relative) as stream:
            return stream.read()

    def read_ranges(self, ranges: Sequence[tuple[str, int, int]]) -> Sequence[bytes]:
        """Parts of files, each (path, first byte, byte after the last), fetched concurrently where that pays.

        Raises:
            FileNotFoundError: a file is not there.
            OSError: the store did not give a part.
        """
        paths = [self.full(path) for path, _, _ in ranges]
        parts = self._located[0].cat_ranges(
            paths, [start for _, start, _ in ranges], [end for _, _, end in ranges], on_error="return"
        )
        for (path, _, _), part in zip(ranges, parts, strict=True):
            if isinstance(part, BaseException):
                with failures_as_of_disks(f"{self.root.rstrip('/')}/{path}"):
                    raise part
        return [bytes(part) for part in parts]

    def read_text(self, relative: str) -> str:
        """The whole file as UTF-8."""
        return self.read_bytes(relative).decode("utf-8")

    @contextlib.contextmanager
    def writing(self, relative: str, require: Callable[[], None] = lambda: None) -> Iterator[BinaryIO]:
        """Write a file under a temporary name of this attempt, and give it its own name when all is written.

        A reader never sees half a file, two attempts never write into each other's, and when the block raises
        nothing is left behind, unless the store fails as well.

        Args:
            require: called when all is written; when it raises, the file is left as it was.

        Raises:
            DataError: there is no room for it: the disk, a quota or a limit on files.
        """
        fs = self._located[0]
        target = self.full(relative)
        folder, name = target.rsplit("/", 1)
        temporary = f"{folder}/{TEMPORARY_PREFIX}{name}-{uuid.uuid4().hex}"
        fs.makedirs(folder, exist_ok=True)
        local = isinstance(fs, LocalFileSystem)
        try:
            opened = fs.open(temporary, "wb")
            with opened if local else whole_or_none(opened, fs.place(target)) as stream:
                yield stream
                if local:
                    stream.flush()
                    os.fsync(stream.fileno())
            require()
            _guards.get(self.root, _nothing)()
            if local:
                Path(temporary).replace(target)
            else:
                fs.mv(temporary, target)
        except BaseException as error:
            with contextlib.suppress(Exception):  # what is told is the error that came first
                fs.rm(temporary, **_at_most(fs, _GIVE_UP_S))
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise DataError(
                    f"{self.root}: {os.strerror(error.errno)}; make room there, and try again"
                ) from error
            raise

    def write_bytes(self, relative: str, data: bytes, require: Callable[[], None] = lambda: None) -> None:
        """Write a whole file; see `writing`."""
        with self.writing(relative, require) as stream:
            stream.write(data)

    def write_text(self, relative: str, text: str, require: Callable[[], None] = lambda: None) -> None:
        """Write a whole file as UTF-8; see `writing`."""
        self.write_bytes(relative, text.encode("utf-8", "surrogatepass"), require)

    def create(self, relative: str, data: bytes) -> None:
        """Write a small file where there is none, and its bucket. Not every store keeps two at once apart.

        Raises:
            FileExistsError: there is one.
            StoreFailedError: the store failed, and may have written it.
            OSError, NotImplementedError, TypeError, ValueError: the store knows no such condition, or refused.
        """
        fs, path = self._located[0], self.full(relative)
        fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        fs.pipe_file(path, data, mode="create")

    def put(self, relative: str, data: bytes, within_s: float | None = None) -> None:
        """Write a small file in one request, in place of what is there. Remote stores only: a disk's would be seen
        half written, and a folder is not made.

        Args:
            within_s: how long it may take; where the store's client knows no limit, it takes what it takes.

        Raises:
            StoreFailedError: the store failed, or took longer, and may have written it.
        """
        fs = self._located[0]
        fs.pipe_file(self.full(relative), data, **_at_most(fs, within_s))

    def read_now(self, relative: str, within_s: float | None = None) -> bytes:
        """A small file as it is now.

        Args:
            within_s: see `put`.

        Raises:
            FileNotFoundError: there is none.
            StoreFailedError: the store failed, or took longer.
        """
        fs = self._located[0]
        return bytes(fs.cat_file(self.full(relative), **_at_most(fs, within_s)))

    @contextlib.contextmanager
    def guarded(self, guard: Callable[[], None], glance: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `guard` is called before a file of the folder gets its name or is removed by any
        thread of this process, and what it raises is raised there.

        Args:
            glance: the same at little cost, for `require_allowed`.
        """
        _guards[self.root], _glances[self.root] = guard, glance
        try:
            yield
        finally:
            del _guards[self.root], _glances[self.root]

    def require_allowed(self) -> None:
        """To be called now and then by what writes nothing for long; raises what the guard would; see `guarded`."""
        _glances.get(self.root, _nothing)()

    def remove(self, relative: str) -> None:
        """Delete a file if it is there."""
        _guards.get(self.root, _nothing)()
        with contextlib.suppress(FileNotFoundError):
            self._located[0].rm(self.full(relative))

    def remove_temporaries(self, age_s: float = 0.0) -> int:
        """Delete what killed attempts left behind; return how many files.

        Args:
            age_s: those written to within so many seconds stay, where others may still be writing.
        """
        fs, root = self._located
        if not fs.exists(root):
            return 0
        stale = [name for name in fs.find(root) if _is_temporary(name[len(root) :])]
        removed = 0
        for name in stale:
            with contextlib.suppress(FileNotFoundError):
                if age_s and time.time() - fs.modified(name).timestamp() < age_s:
                    continue
                _guards.get(self.root, _nothing)()
                fs.rm(name)
                removed += 1
        return removed

    def remove_abandoned(self) -> int:
        """Delete what killed attempts left behind; return how many files.

        Whoever writes on this machine is known to have ended. To another store workers may still be writing whose
        build is gone: there only what is a day old is deleted.
        """
        return self.remove_temporaries(0.0 if self.is_local or not self.is_shared else _ABANDONED_S)

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Sequence[R]:
        """What `work` gives for each item, in order: many at a time where each waits for a store far away."""
        if self.is_local or not self.is_shared:
            return [work(item) for item in items]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(work, items))

    def sha256(self, relative: str) -> str:
        """Read the file and return its digest."""
        with self.open(relative) as stream:
            return digest_of_stream(stream)[0]

    def _walk_local(self, base: Path) -> Iterator[FileInfo]:
        root = Path(self._located[1])
        for folder, folders, names in os.walk(base):
            folders.sort()
            for name in folders:
                if Path(folder, name).is_symlink():  # listed, so that whoever lists can say it was not followed
                    yield FileInfo(Path(folder, name).relative_to(root).as_posix(), 0, LINKED_FOLDER)
            for name in names:
                if name.startswith(TEMPORARY_PREFIX):
                    continue
                path = Path(folder, name)
                try:
                    status = path.stat()
                except OSError:  # a dangling link, or gone since the listing: opening it will say so
                    yield FileInfo(path.relative_to(root).as_posix(), 0, "gone")
                    continue
                if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
                    yield FileInfo(path.relative_to(root).as_posix(), 0, NO_FILE)
                    continue
                stamp = f"{status.st_mtime_ns}"
                yield FileInfo(path.relative_to(root).as_posix(), status.st_size, stamp)

    @staticmethod
    def _info_of(relative: str, entry: dict[str, Any]) -> FileInfo:
        stamps = (entry.get(key) for key in ("ETag", "etag", "md5Hash", "generation", "mtime", "created"))
        stamp = next((str(value) for value in stamps if value is not None), "")
        return FileInfo(relative, int(entry.get("size") or 0), stamp)


def _nothing() -> None:
    pass


def _at_most(fs: Any, within_s: float | None) -> dict[str, float]:
    """What ends a call of a client in time; of fsspec's only those that ask in a loop of their own can be ended."""
    return {"timeout": within_s} if within_s is not None and fs.async_impl else {}


def _is_temporary(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(TEMPORARY_PREFIX)
