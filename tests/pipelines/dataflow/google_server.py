"""What a Dataflow user has of Google's, on loopback: objects in buckets, tokens, and a service that runs jobs.

A submitted job is truly run: the staged graph is fetched from the bucket, its container is replaced by Python in a
process of its own, and the job ends as that process ends.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "token-that-nobody-may-read"
_RUN_GRAPH = Path(__file__).with_name("run_graph.py")
_OBJECT = re.compile(r"^(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)$")
_COPY = re.compile(r"^/storage/v1/b/([^/]+)/o/([^/]+)/(?:rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)$")
_JOBS = re.compile(r"^/v1b3/projects/([^/]+)/locations/([^/]+)/jobs(?:/([^/]+))?(/messages)?$")


class Worker:
    """A process that runs graphs, begun with the first."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self, graph: Path) -> str:
        """`done`, or what went wrong."""
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, str(_RUN_GRAPH)],
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{graph}\n")
            self._process.stdin.flush()
            return self._process.stdout.readline().strip() or "the worker ended"

    def end(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@dataclass
class Google:
    """What the server holds.

    Attributes:
        buckets: objects by bucket and name; a bucket that is not there is answered by 404.
        jobs: as submitted, with `id` and `currentState`, in their order.
        asked: paths that were asked for.
        refuses: status and message that answer a submitted job.
        fails: part of the names of jobs that are not run, and the message with which they fail.
        worker: runs the jobs.
    """

    buckets: dict[str, dict[str, bytes]]
    jobs: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refuses: tuple[int, str] | None = None
    fails: tuple[str, str] | None = None
    worker: Worker = field(default_factory=lambda: Worker({}))
    folder: Path = Path()
    uploads: dict[str, tuple[str, str, bytearray]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def object(self, uri: str) -> bytes:
        """What lies at `gs://BUCKET/NAME`."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        return self.buckets[bucket][name]

    def run(self, job: dict[str, Any]) -> None:
        """Run a job to its end, in a thread."""
        options = job["environment"]["sdkPipelineOptions"]["options"]
        graph = self.folder / f"{job['id']}.pb"
        graph.write_bytes(self.object(options["pipelineUrl"]))
        job["currentState"] = "JOB_STATE_RUNNING"
        if self.fails is not None and self.fails[0] in job["name"]:
            job["messages"], job["currentState"] = [self.fails[1]], "JOB_STATE_FAILED"
            return
        told = self.worker.run(graph)
        job["messages"] = [] if told == "done" else [told]
        job["currentState"] = "JOB_STATE_DONE" if told == "done" else "JOB_STATE_FAILED"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    google: Google

    def log_message(self, *words: Any) -> None:
        pass

    def _answer(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header(
            "Content-Type", "application/octet-stream" if isinstance(value, bytes) else "application/json"
        )
        for name, given in (headers or {}).items():
            self.send_header(name, given)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, what: str) -> None:
        self._answer({"error": {"code": 404, "message": f"{what} was not found", "status": "NOT_FOUND"}}, 404)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _about(self, bucket: str, name: str) -> dict[str, Any]:
        import google_crc32c

        data = self.google.buckets[bucket][name]
        checksum = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()  # type: ignore[no-untyped-call]
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(data)),
            "generation": str(1 + hash((name, data)) % 10**12),
            "crc32c": checksum,
            "updated": "2026-01-01T00:00:00.000Z",
            "timeCreated": "2026-01-01T00:00:00.000Z",
        }

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.google.asked.append(url.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if found := _JOBS.match(url.path):
            self._job(found[3], messages=bool(found[4]))
        elif found := _OBJECT.match(url.path):
            self._object(unquote(found[1]), unquote(found[2]), query)
        elif found := re.match(r"^/storage/v1/b/([^/]+)(/o|/storageLayout)?$", url.path):
            bucket = unquote(found[1])
            if bucket not in self.google.buckets:
                self._missing(f"the bucket {bucket}")
            elif found[2] == "/o":
                self._list(bucket, query)
            else:
                self._answer({"kind": "storage#bucket", "name": bucket, "id": bucket, "location": "US"})
        else:
            self._missing(url.path)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _object(self, bucket: str, name: str, query: Mapping[str, str]) -> None:
        if name not in self.google.buckets.get(bucket, {}):
            self._missing(f"gs://{bucket}/{name}")
        elif query.get("alt") != "media":
            self._answer(self._about(bucket, name))
        else:
            data = self.google.buckets[bucket][name]
            checksum = self._about(bucket, name)["crc32c"]
            headers = {"X-Goog-Hash": f"crc32c={checksum}", "X-Goog-Generation": "1"}
            if asked := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first = int(asked[1])
                end = min(len(data), int(asked[2]) + 1 if asked[2] else len(data))
                if first >= len(data):
                    self._answer(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
                    return
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
                self._answer(data[first:end], 206, headers)
                return
            self._answer(data, 200, headers)

    def _list(self, bucket: str, query: Mapping[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        most = int(query.get("maxResults", 1000))
        names, prefixes = [], set()
        for name in sorted(self.google.buckets[bucket]):
            if not name.startswith(prefix):
                continue
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                names.append(name)
        start = int(query.get("pageToken", 0))
        answer: dict[str, Any] = {
            "kind": "storage#objects",
            "items": [self._about(bucket, name) for name in names[start : start + most]],
            "prefixes": sorted(prefixes),
        }
        if start + most < len(names):
            answer["nextPageToken"] = str(start + most)
        self._answer(answer)

    def do_POST(self) -> None:
        url, body = urlsplit(self.path), self._body()
        self.google.asked.append(url.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/token":
            self._answer({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        elif found := _JOBS.match(url.path):
            self._submit(found[1], found[2], json.loads(body))
        elif found := _COPY.match(url.path):
            one, name, other, target = (unquote(part) for part in found.groups())
            if name not in self.google.buckets.get(one, {}):
                self._missing(f"gs://{one}/{name}")
                return
            self.google.buckets[other][target] = self.google.buckets[one][name]
            about = self._about(other, target)
            self._answer(
                {"kind": "storage#rewriteResponse", "done": True, "resource": about}
                if "rewriteTo" in url.path
                else about
            )
        elif found := re.match(r"^/storage/v1/b/([^/]+)/o/([^/]+)/moveTo/o/([^/]+)$", url.path):
            bucket, name, target = (unquote(part) for part in found.groups())
            self.google.buckets[bucket][target] = self.google.buckets[bucket].pop(name)
            self._answer(self._about(bucket, target))
        elif found := re.match(r"^/upload/storage/v1/b/([^/]+)/o$", url.path):
            self._upload(unquote(found[1]), query, body)
        elif url.path.startswith("/upload/session/"):
            self._continue(url.path.rpartition("/")[2], body)
        else:
            self._missing(url.path)

    def _upload(self, bucket: str, query: Mapping[str, str], body: bytes) -> None:
        if bucket not in self.google.buckets:
            self._missing(f"the bucket {bucket}")
        elif query["uploadType"] == "resumable":
            name = query.get("name") or json.loads(body)["name"]
            key = uuid.uuid4().hex
            self.google.uploads[key] = (bucket, name, bytearray())
            host = self.headers["Host"]
            self._answer({}, 200, {"Location": f"http://{host}/upload/session/{key}?upload_id={key}"})
        elif query["uploadType"] == "multipart":
            kind = self.headers["Content-Type"].encode()
            parts: Any = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + body).get_payload()
            about = json.loads(parts[0].get_payload(decode=True))
            boundary = re.search(rb'boundary="?([^";]+)', kind)
            assert boundary is not None
            # The parser would take the ends of lines in the data for its own.
            section = body.split(b"--" + boundary[1])[2]
            self.google.buckets[bucket][about["name"]] = section[re.search(rb"\r?\n\r?\n", section).end() : -2]  # type: ignore[union-attr]
            self._answer(self._about(bucket, about["name"]))
        else:
            self.google.buckets[bucket][query["name"]] = body
            self._answer(self._about(bucket, query["name"]))

    def do_PUT(self) -> None:
        url, body = urlsplit(self.path), self._body()
        self.google.asked.append(url.path)
        if found := _JOBS.match(url.path):
            job = next(job for job in self.google.jobs if job["id"] == found[3])
            job["currentState"] = "JOB_STATE_CANCELLED"
            self._answer(job)
            return
        self._continue(url.path.rpartition("/")[2], body)

    def _continue(self, key: str, body: bytes) -> None:
        bucket, name, held = self.google.uploads[key]
        asked = self.headers.get("Content-Range", "")
        place = re.match(r"bytes (\d+)-(\d+)/", asked)
        if place is not None:
            del held[int(place[1]) :]
        held.extend(body)
        total = asked.rpartition("/")[2]
        if asked and (total == "*" or int(total) > len(held)):
            self._answer({}, 308, {"Range": f"bytes=0-{len(held) - 1}"} if held else {})
            return
        self.google.buckets[bucket][name] = bytes(held)
        self._answer(self._about(bucket, name))

    def do_DELETE(self) -> None:
        found = _OBJECT.match(urlsplit(self.path).path)
        if found is None or self.google.buckets.get(unquote(found[1]), {}).pop(unquote(found[2]), None) is None:
            self._missing(self.path)
        else:
            self._answer(b"", 204)

    def _submit(self, project: str, region: str, job: dict[str, Any]) -> None:
        google = self.google
        if google.refuses is not None:
            status, message = google.refuses
            told = "PERMISSION_DENIED" if status == 403 else "INVALID_ARGUMENT"
            self._answer({"error": {"code": status, "message": message, "status": told}}, status)
            return
        with google.lock:
            job |= {"id": f"2026-01-01_00_00_00-{len(google.jobs)}", "projectId": project, "location": region}
            job |= {"currentState": "JOB_STATE_PENDING", "headers": dict(self.headers)}
            google.jobs.append(job)
        self._answer({key: value for key, value in job.items() if key not in ("headers", "messages")})
        threading.Thread(target=google.run, args=(job,), daemon=True).start()

    def _job(self, key: str | None, *, messages: bool) -> None:
        job = next((job for job in self.google.jobs if job["id"] == key), None)
        if job is None:
            self._missing(f"the job {key}")
        elif messages:
            rows = [
                {
                    "id": str(number),
                    "time": "2026-01-01T00:00:00Z",
                    "messageText": text,
                    "messageImportance": "JOB_MESSAGE_ERROR",
                }
                for number, text in enumerate(job.get("messages", []))
            ]
            self._answer({"jobMessages": rows})
        else:
            self._answer({name: value for name, value in job.items() if name not in ("headers", "messages")})


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class GoogleServer:
    """The server, while the block runs.

    Attributes:
        url: `http://localhost:PORT`.
    """

    def __init__(self, google: Google) -> None:
        self.google = google
        handler = type("Handler", (_Handler,), {"google": google})
        self._server = _Quiet(("127.0.0.1", 0), handler)
        self.url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> GoogleServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.google.worker.end()
