"""Object stores on loopback: a server for tests, and a process whose clients know of no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

_SERVER = Path(__file__).parent / "object_server.py"


@contextmanager
def object_store(latency_s: float = 0.0) -> Iterator[str]:
    """The address of a store, each of whose answers takes so many seconds longer."""
    words = [sys.executable, str(_SERVER), str(latency_s)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def use_store(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients in this process, and in those that it starts, ask the store at the address."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.filesystem("s3").clear_instance_cache()  # clients of servers that other tests had
