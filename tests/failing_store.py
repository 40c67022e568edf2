"""A store in memory that fails as the clients of remote stores do when the network does."""

from __future__ import annotations

import errno
import io
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import botocore.exceptions  # type: ignore[import-untyped]
import fsspec
import requests
from fsspec.implementations.memory import MemoryFileSystem

_KEY: Any = SimpleNamespace(host="store.invalid", port=443, ssl=True, is_ssl=True)
FAILURES: dict[str, Callable[[], Exception]] = {
    "cut short": lambda: aiohttp.ClientPayloadError("Response payload is not completed"),
    "refused": lambda: aiohttp.ClientConnectorError(_KEY, ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
    "unreachable": lambda: OSError(errno.EHOSTUNREACH, "No route to host"),
    "reset": lambda: aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer"),
    "no such name": lambda: aiohttp.ClientConnectorDNSError(
        _KEY, socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    ),
    "name": lambda: socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    "proxy": lambda: requests.exceptions.ProxyError(),
    "requests": lambda: requests.exceptions.ConnectionError("Connection aborted."),
    "silent": lambda: botocore.exceptions.ReadTimeoutError(endpoint_url="https://store.invalid"),
}


class FailingFiles(MemoryFileSystem):  # type: ignore[misc]
    """Fails at reads from a byte on, so many times; and with `deaf` at every question what there is."""

    protocol = "failing"
    store: dict[str, Any] = {}  # noqa: RUF012 - as the class that it is
    pseudo_dirs = [""]  # noqa: RUF012
    at, times, reads, spared, deaf = 0, 0, 0, 0, False
    failure: Callable[[], Exception] = staticmethod(FAILURES["cut short"])

    @classmethod
    def plant(cls, failure: str, at: int = 0, times: int = 10_000, spared: int = 0) -> None:
        """Let reads from a byte on fail so many times, after some that are spared."""
        cls.spared = spared
        cls.at, cls.times, cls.failure = at, times, staticmethod(FAILURES[failure])

    @classmethod
    def mend(cls) -> None:
        """Let all be read again."""
        cls.at, cls.times, cls.reads, cls.spared, cls.deaf = 0, 0, 0, 0, False

    def _open(self, path: str, mode: str = "rb", **how: Any) -> Any:
        file = super()._open(path, mode, **how)
        return file if mode != "rb" else _Read(file.getvalue())

    def info(self, path: str, **how: Any) -> Any:
        if FailingFiles.deaf:
            raise FailingFiles.failure()
        return super().info(path, **how)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix("failing://").strip("/")


class _Read(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        FailingFiles.reads += 1
        if FailingFiles.times and self.tell() + (size if size and size > 0 else 1 << 40) > FailingFiles.at:
            if not FailingFiles.spared:
                FailingFiles.times -= 1
                raise FailingFiles.failure()
            FailingFiles.spared -= 1
        return super().read(size)


fsspec.register_implementation("failing", FailingFiles, clobber=True)
