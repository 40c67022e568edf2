"""What asks a store that is at fault, or does not answer, ends in time and with the error that came first."""

from __future__ import annotations

import errno
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from schemas.errors import StoreFailedError
from schemas.store import Store
from tests.object_store import use_store

# S3's client asks again after 15 s, and gives up after minutes; Google's after 60.
IN_TIME_S = 12.0


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, answers: Sequence[tuple[int, str]]) -> Iterator[list[str]]:
    """A store of either kind with those answers (status, code) and none more; gives what it was asked."""
    over = threading.Event()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # by which a client may ask before it sends a body

        def log_message(self, *words: Any) -> None:
            pass

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(self.command)
            if len(asked) > len(answers):
                over.wait(120)
                self.close_connection = True
                return
            status, code = answers[len(asked) - 1]
            body = f"<Error><Code>{code}</Code><Message>planted words</Message></Error>".encode() if code else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    use_store(address, monkeypatch)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "none")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    try:
        yield asked
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("scheme", ["s3", "gs"])
@pytest.mark.parametrize("use", ["read_now", "put"])
def test_a_request_with_a_limit_is_waited_for_no_longer(
    scheme: str, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(monkeypatch, []):
        store = Store(f"{scheme}://bucket/{uuid.uuid4().hex}")
        began = time.monotonic()
        with pytest.raises(StoreFailedError):
            if use == "put":
                store.put("a", b"1", within_s=1.0)
            else:
                store.read_now("a", within_s=1.0)
        assert time.monotonic() - began < IN_TIME_S


def test_what_ended_a_write_is_raised_though_the_store_is_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(monkeypatch, [(200, ""), *[(500, "InternalError")] * 99]) as asked:
        with pytest.raises(KeyboardInterrupt), Store("s3://bucket/data").writing("a"):
            before = len(asked)
            raise KeyboardInterrupt
        assert len(asked) > before, "nothing was given up"


def test_what_ended_a_write_does_not_wait_for_a_store_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("schemas.store._GIVE_UP_S", 1.0)
    with answering(monkeypatch, [(200, "")]):
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt), Store("s3://bucket/data").writing("a"):
            began = time.monotonic()
            raise KeyboardInterrupt
        assert time.monotonic() - began < IN_TIME_S


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(409, "ConditionalRequestConflict", StoreFailedError), (501, "NotImplemented", OSError)],
)
def test_a_store_that_has_two_creating_a_file_is_told_from_one_that_cannot(
    status: int, code: str, kind: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pipelines.build_lease` goes by it."""
    answers = [(200, ""), *[(status, code)] * 99]
    with answering(monkeypatch, answers), pytest.raises(OSError, match="planted words") as raised:
        Store("s3://bucket/data").create("a", b"1")
    assert type(raised.value) is kind
    assert kind is StoreFailedError or raised.value.errno == errno.ENOSYS
