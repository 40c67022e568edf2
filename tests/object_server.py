"""An object store on loopback in a process of its own: moto behind werkzeug, each request late by some seconds.

Prints its port. GET /-/counts answers in JSON with what was asked since the last such question: `requests`, `bytes`
sent, and `most`, how many requests were in work at once.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Start = Callable[..., Any]


class Late:
    """Lets `latency_s` pass before each request, and counts how many are in work."""

    def __init__(self, application: Any, latency_s: float) -> None:
        self._application, self._latency_s = application, latency_s
        self._lock = threading.Lock()
        self._now = self._most = self._requests = self._bytes = 0

    def __call__(self, environment: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environment["PATH_INFO"] == "/-/counts":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._counts()).encode()]
        with self._lock:
            self._now += 1
            self._requests += 1
            self._most = max(self._most, self._now)
        try:
            time.sleep(self._latency_s)
            body = list(self._application(environment, start))
            with self._lock:
                self._bytes += sum(map(len, body))
            return body
        finally:
            with self._lock:
                self._now -= 1

    def _counts(self) -> dict[str, int]:
        with self._lock:
            counts = {"requests": self._requests, "bytes": self._bytes, "most": self._most}
            self._most, self._requests, self._bytes = self._now, 0, 0
        return counts


class KeepAlive(WSGIRequestHandler):
    """Connections stay open, as those of real stores do."""

    protocol_version = "HTTP/1.1"


def serve(latency_s: float) -> None:
    """Serve until the process is killed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = Late(DomainDispatcherApplication(create_backend_app), latency_s)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=KeepAlive)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
