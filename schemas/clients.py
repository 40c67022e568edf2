"""The clients of remote stores behind fsspec: what they are told, and how what they fail with is taken."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from typing import Any

from fsspec.spec import AbstractBufferedFile

# A client's own 10 connections would let 20 ms of delay halve the rate of small reads.
# And what it has listed it would remember, while workers elsewhere write there.
_FRESH = {"use_listings_cache": False}
_OPTIONS: dict[str, dict[str, Any]] = {"s3": {**_FRESH, "config_kwargs": {"max_pool_connections": 64}}}
# s3fs waits 15 s for an answer, asks again, and says after 7 minutes that there is none. gcsfs would wait without
# end; with a limit it asks again, too. A large copy is silent for 30 s.
_CONNECT_S, _SILENCE_S = 10.0, 60.0
CLIENTS = frozenset({"aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "google", "s3fs", "urllib3"})
"""The packages whose exceptions are failures of a store."""
# Clients that print a traceback of each request that failed; the error is raised besides, and told in one line.
LOUD = {"gs": "gcsfs", "gcs": "gcsfs"}


def options_of(scheme: str) -> dict[str, Any]:
    """What the client of a scheme is made with."""
    if scheme not in LOUD:
        return _OPTIONS.get(scheme, {})
    from aiohttp import ClientTimeout

    limit = ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    return {**_FRESH, "requests_timeout": limit}


@contextlib.contextmanager
def failures_as_of_disks() -> Iterator[None]:
    """Raise what a store's client raises of its own as what a disk that fails raises.

    Raises:
        OSError: the store did not give what was asked for.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in CLIENTS:
            raise
        told = " ".join(str(error).split()) or type(error).__name__
        raise OSError(errno.EIO, f"the store did not give it: {told}") from error


class RemoteStream(io.RawIOBase):
    """A file of a remote store, open for reading, that fails as one of a disk does.

    Attributes:
        failed: what the last read that failed raised, for decoders take a file that fails for one that ends.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self.failed: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        try:
            with failures_as_of_disks():
                return bytes(self._stream.read(-1 if size is None else size))
        except OSError as error:
            self.failed = error
            raise

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


@contextlib.contextmanager
def whole_or_none(stream: Any) -> Iterator[Any]:
    """Close a written file; when the block or the closing raises, a remote one is given up with its parts."""
    try:
        yield stream
        stream.close()
    except BaseException:
        with contextlib.suppress(Exception):
            if isinstance(stream, AbstractBufferedFile):
                stream.closed = True  # closed otherwise, it would be completed
                stream.discard()
            else:
                stream.close()
        raise
