"""The clients of remote stores behind fsspec: what they are told, and how what they fail with is taken."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from fsspec.spec import AbstractBufferedFile

from schemas.errors import StoreFailedError

# A client's own 10 connections would let 20 ms of delay halve the rate of small reads.
# And what it has listed it would remember, while workers elsewhere write there.
_FRESH = {"use_listings_cache": False}
_OF_S3 = {**_FRESH, "config_kwargs": {"max_pool_connections": 64}}
# s3fs waits 15 s for an answer, asks again, and says after 7 minutes that there is none. gcsfs would wait without
# end; with a limit it asks again, too. A large copy is silent for 30 s.
_CONNECT_S, _SILENCE_S = 10.0, 60.0
CLIENTS = frozenset(
    {"aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "google", "requests", "s3fs", "urllib3"}
)
"""The packages whose exceptions are failures of a store."""
# Clients that print a traceback of each request that failed; the error is raised besides, and told in one line.
LOUD = {"gs": "gcsfs", "gcs": "gcsfs"}
# What a store says that is at fault itself, or too busy; of what it was asked it says nothing.
_AT_FAULT = frozenset({errno.EIO, errno.EREMOTEIO, errno.EBUSY, errno.ETIMEDOUT})
# What the way to it says. A name that is not known now may be known again when the network is there.
_OF_THE_WAY = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.EPIPE,
    }
)
_OF_NETWORKS = (TimeoutError, ConnectionError, socket.gaierror, ssl.SSLError)
_SERVER_ERROR = 500
_BLOCK_BYTES = 1 << 16
# Clients raise them with the path as all that they say.
_OF_NO_NUMBER: dict[type, int] = {FileNotFoundError: errno.ENOENT, FileExistsError: errno.EEXIST}


def options_of(scheme: str) -> dict[str, Any]:
    """What the client of a scheme is made with."""
    if scheme in ("s3", "s3a"):
        # s3fs asks again when a store is too busy, but not when it is at fault: there one client's five attempts
        # in a row were all that stood between a build and its end.
        with contextlib.suppress(ImportError):
            from s3fs.core import set_custom_error_handler  # type: ignore[import-untyped]

            set_custom_error_handler(_asks_again)
        return _OF_S3
    if scheme not in LOUD:
        return {}
    from aiohttp import ClientTimeout

    limit = ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    return {**_FRESH, "requests_timeout": limit}


def _asks_again(error: Exception) -> bool:
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return False
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= _SERVER_ERROR


@contextlib.contextmanager
def failures_as_of_disks(place: str) -> Iterator[None]:
    """Raise what a store's client raises as what a disk that fails raises, with the place in it.

    Raises:
        StoreFailedError: the store did not do what was asked, and may do it another time.
        OSError: it refused, as it will again: no such file, no right to it, no such name.
    """
    try:
        yield
    except StoreFailedError:
        raise
    except OSError as error:
        known = error.errno in _AT_FAULT | _OF_THE_WAY
        # Clients have kinds of OSErrors of their own for a network that fails, some with no number.
        if known or isinstance(error, _OF_NETWORKS) or of_a_client(error):
            number = error.errno if known and error.errno else errno.EIO
            raise StoreFailedError(number, _told(error), place) from error
        if error.filename is None:
            kind = _OF_NO_NUMBER.get(type(error))
            error.strerror = error.strerror or (os.strerror(kind) if kind else _told(error))
            error.filename = place
        raise
    except Exception as error:
        if not of_a_client(error):
            raise
        if "Credential" in type(error).__name__:
            raise PermissionError(errno.EACCES, _told(error), place) from error
        raise StoreFailedError(errno.EIO, _told(error), place) from error


def of_a_client(error: Exception) -> bool:
    """Whether an exception is of a kind that a store's client brings along."""
    return type(error).__module__.partition(".")[0] in CLIENTS


def _told(error: Exception) -> str:
    words = getattr(error, "strerror", None) or str(error)
    return f"the store did not do what was asked: {' '.join(str(words).split()) or type(error).__name__}"


class RemoteFiles:
    """A remote file system of fsspec, whose every call fails as one of a disk does.

    Args:
        files: the file system.
        root: the store's folder as a person wrote it.
        path: the same as the file system knows it.
    """

    def __init__(self, files: Any, root: str, path: str) -> None:
        self._files, self._root, self._path = files, root.rstrip("/"), path.rstrip("/")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._files, name)
        return self._as_of_disks(found) if callable(found) else found

    def _as_of_disks(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*words: Any, **how: Any) -> Any:
            with failures_as_of_disks(self.place(words[0] if words else "")):
                return call(*words, **how)

        return called

    def place(self, path: Any) -> str:
        """A path of the file system as a person would write it; the folder, for what is none or lies outside."""
        below = path.removeprefix(self._path) if isinstance(path, str) and path.startswith(self._path) else ""
        return f"{self._root}{below.rstrip('/')}"


class RemoteStream(io.RawIOBase):
    """A file of a remote store, open for reading, that fails as one of a disk does. It gives what is asked for.

    It has a place of its own in the file: what lies in memory is one stream for all who open it.

    Attributes:
        failed: what the last read that failed raised, for decoders take a file that fails for one that ends.
    """

    def __init__(self, stream: Any, place: str) -> None:
        super().__init__()
        self._stream, self._place = stream, place
        self._at = 0
        self.failed: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        try:
            with failures_as_of_disks(self._place):
                if self._stream.tell() != self._at:
                    self._stream.seek(self._at)
                data = bytes(self._stream.read(-1 if size is None else size))
        except OSError as error:
            self.failed = error
            raise
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == io.SEEK_CUR:
            offset, whence = self._at + offset, io.SEEK_SET
        self._at = int(self._stream.seek(offset, whence))
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class BufferedRemoteStream(io.BufferedReader):
    """As `RemoteStream`, read a block at a time: of a stream without one a line is read byte by byte."""

    def __init__(self, stream: RemoteStream) -> None:
        super().__init__(stream, _BLOCK_BYTES)
        self._remote = stream

    @property
    def failed(self) -> OSError | None:
        """As the stream's own."""
        return self._remote.failed


class RemoteSink(io.RawIOBase):
    """A file of a remote store, open for writing, that fails as one of a disk does."""

    def __init__(self, stream: Any, place: str) -> None:
        super().__init__()
        self._stream, self._place = stream, place

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with failures_as_of_disks(self._place):
            self._stream.write(data)
        return memoryview(data).nbytes

    def tell(self) -> int:
        return int(self._stream.tell())


@contextlib.contextmanager
def whole_or_none(stream: Any, place: str) -> Iterator[Any]:
    """Close a written file; when the block or the closing raises, a remote one is given up with its parts."""
    try:
        yield RemoteSink(stream, place)
        with failures_as_of_disks(place):
            stream.close()
    except BaseException:
        with contextlib.suppress(Exception):
            if isinstance(stream, AbstractBufferedFile):
                stream.closed = True  # closed otherwise, it would be completed
                stream.discard()
            else:
                stream.close()
        raise
