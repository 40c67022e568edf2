"""A proxy before an object store on loopback that fails as real ones do, in a process of its own.

Prints its port. Its words are the port behind it and the kind of fault:

- `errors`: every fifth request is answered with a 500 or a 503 (SlowDown);
- `cut uploads`: of every fourth upload half is taken, and the connection closed;
- `cut answers`: of every fifth download half is sent, and the connection closed;
- `cut parts`: no part but the first of the first upload in parts is ever taken, each answered with a 500; of the
  others every second part is taken half, and the connection closed;
- `slow`: of every third answer the first 600 kB come at 200 kB/s, all else at 4 MB/s;
- `timeouts`: every twentieth request is held for 3 seconds and then dropped without an answer;
- `no answers`: the first upload is done and its answer never sent, and the sixtieth request is not even passed on:
  each is held until the client hangs up;
- `late lists`: listings lack what was written within the last 2 seconds.

GET /-/counts tells how many faults there were.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

LATE_S, HELD_S, HELD_AT_MOST_S = 2.0, 3.0, 600.0
SLOWLY, SLOW_BYTES = 200_000, 600_000
_CONTENTS = re.compile(rb"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>", re.DOTALL)
_PART = re.compile(r"[?&]partNumber=(\d+)&uploadId=([^&]+)")
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>planted</Message>'
    "<RequestId>1</RequestId></Error>"
)


class Proxy:
    """What the handler's threads share."""

    def __init__(self, behind: int, kind: str) -> None:
        self.behind, self.kind = behind, kind
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.faults = 0
        self.written: dict[str, float] = {}
        self.uploads: list[str] = []

    def turn(self, every: int) -> bool:
        """Whether it is this request's turn to fail."""
        with self.lock:
            found = next(self.numbers) % every == 0
            self.faults += found
        return found

    def nth(self, number: int) -> bool:
        """Whether it is this very request's turn to fail."""
        with self.lock:
            found = next(self.numbers) == number
            self.faults += found
        return found

    def first_upload(self) -> bool:
        """Whether there was none before."""
        with self.lock:
            found = not self.uploads
            self.uploads.append("")
            self.faults += found
        return found

    def refuses(self, upload: str, part: int) -> bool:
        """Whether a part of that upload is never taken."""
        with self.lock:
            if upload not in self.uploads:
                self.uploads.append(upload)
            found = upload == self.uploads[0] and part > 1
            self.faults += found
        return found


def handler_of(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    """The handler's class."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/-/counts":
                self._answer(200, [], str(proxy.faults).encode())
                return
            self._pass_on()

        def do_PUT(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def do_DELETE(self) -> None:
            self._pass_on()

        def do_HEAD(self) -> None:
            self._pass_on()

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            part = _PART.search(self.path)
            if proxy.kind == "cut parts" and part is not None:
                number, upload = part.groups()
                if proxy.refuses(upload, int(number)):
                    self.rfile.read(length)
                    told = _ERROR.format(code="InternalError").encode()
                    self._answer(500, [("Content-Type", "application/xml")], told)
                    return
                if upload != proxy.uploads[0] and proxy.turn(2):
                    self.rfile.read(length // 2)
                    self._drop()
                    return
            if proxy.kind == "cut uploads" and self.command == "PUT" and length > 1 and proxy.turn(4):
                self.rfile.read(length // 2)
                self._drop()
                return
            body = self.rfile.read(length) if length else self._chunks()
            if proxy.kind == "errors" and proxy.turn(5):
                code, status = ("SlowDown", 503) if proxy.faults % 2 else ("InternalError", 500)
                self._answer(status, [("Content-Type", "application/xml")], _ERROR.format(code=code).encode())
                return
            if proxy.kind == "timeouts" and proxy.turn(20):
                time.sleep(HELD_S)
                self._drop()
                return
            if proxy.kind == "no answers" and proxy.nth(60):
                self._hold()
                return
            connection = http.client.HTTPConnection("127.0.0.1", proxy.behind, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
            connection.request(self.command, self.path, body or None, headers)
            found = connection.getresponse()
            content = found.read()
            connection.close()
            if self.command in ("PUT", "POST"):
                with proxy.lock:
                    proxy.written[unquote(self.path.partition("?")[0])] = time.monotonic()
                if proxy.kind == "no answers" and self.command == "PUT" and proxy.first_upload():
                    self._hold()
                    return
            if proxy.kind == "late lists" and "list-type=2" in self.path:
                content = self._without_new(content)
            kept = [
                (name, value)
                for name, value in found.getheaders()
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server")
            ]
            length_of = found.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(found.status, kept, content, length_of)

        def _without_new(self, listing: bytes) -> bytes:
            bucket = "/" + self.path.strip("/").partition("?")[0].partition("/")[0]
            now = time.monotonic()

            def shown(found: re.Match[bytes]) -> bytes:
                key = unquote(found[1].decode())
                at = proxy.written.get(f"{bucket}/{key}")
                if at is None or now - at > LATE_S:
                    return found[0]
                with proxy.lock:
                    proxy.faults += 1
                return b""

            return _CONTENTS.sub(shown, listing)

        def _chunks(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return b""
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _hold(self) -> None:
            self.connection.settimeout(HELD_AT_MOST_S)
            with contextlib.suppress(OSError):
                self.connection.recv(1)
            self._drop()

        def _drop(self) -> None:
            self.close_connection = True

        def _answer(
            self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            try:
                if proxy.kind == "cut answers" and self.command == "GET" and len(body) > 1000 and proxy.turn(5):
                    self.wfile.write(body[: len(body) // 2])
                    self._drop()
                elif proxy.kind == "slow":
                    slowly = SLOW_BYTES if len(body) > 1000 and proxy.turn(3) else 0
                    for start in range(0, len(body), 4096):
                        self.wfile.write(body[start : start + 4096])
                        time.sleep(4096 / SLOWLY if start < slowly else 0.001)
                else:
                    self.wfile.write(body)
            except OSError:
                self._drop()

    return Handler


def serve(behind: int, kind: str) -> None:
    """Serve until the process is killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(Proxy(behind, kind)))
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
