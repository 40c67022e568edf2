from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.synthesis.videos import encode_video, plan_video
from pipelines.videos.children import Children
from pipelines.videos.download import classified
from pipelines.videos.fetch import Fetcher
from pipelines.videos.files import VideoFiles
from pipelines.videos.network_guard import is_public
from pipelines.videos.place import VideoPlace
from schemas.manifest import VideosSection
from schemas.reasons import Reason
from schemas.store import Store

Command = Callable[..., Any]
Publish = Callable[..., Path]
Made = Callable[..., Path]
PLAIN, CUT, GONE, BUSY, SLOW = "plain-00001", "cutoff-0001", "gone-000001", "toomany-001", "slow-000001"
LARGE, PAGE, TEXT, DOWN, HANGS = "large-00001", "page-000001", "text-000001", "down-000001", "hangs-00001"
UNSIZED, STALLS = "unsized-001", "stalls-0001"


class Server:
    """A web server with ranges, and with what goes wrong on others. `seen` holds (id, Range) of every request."""

    def __init__(self, video: bytes) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.broken = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1].partition(".")[0]
                asked = self.headers.get("Range")
                first = sum(seen == name for seen, _ in outer.seen) == 0
                outer.seen.append((name, asked))
                if name == GONE:
                    self._send(404, b"no such thing", "text/plain")
                    return
                if name == BUSY and first:
                    self._send(429, b"slow down", "text/plain", {"Retry-After": "0"})
                    return
                if name == DOWN and outer.broken:
                    self._send(503, b"later", "text/plain")
                    return
                if name == SLOW and first:
                    time.sleep(1.5)
                if name == HANGS:
                    time.sleep(3.0)
                if name == STALLS:
                    time.sleep(60.0)
                if name == PAGE:
                    self._send(200, b"<html><title>Hello</title><p>words</p></html>", "text/html")
                    return
                if name == TEXT:
                    self._send(200, b"only words\n" * 500, "video/mp4")
                    return
                body = video * (3 if name in (LARGE, UNSIZED) else 1)
                start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
                status = 206 if asked else 200
                headers = {"Accept-Ranges": "bytes"}
                if asked:
                    headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                cut = len(body) // 2 if name == CUT and start == 0 else None
                self._send(status, body[start:], "video/mp4", headers, cut, sized=name != UNSIZED)

            def _send(
                self,
                status: int,
                body: bytes,
                kind: str,
                headers: dict[str, str] | None = None,
                cut: int | None = None,
                sized: bool = True,
            ) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if sized:
                    self.send_header("Content-Length", str(len(body)))
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                if cut is not None or not sized:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                if self.command == "GET":
                    try:
                        self.wfile.write(body[:cut])
                    except OSError:
                        self.close_connection = True

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/watch/{{id}}.mp4"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def ranges(self, name: str) -> list[str | None]:
        """The ranges asked for of one video."""
        return [asked for seen, asked in self.seen if seen == name]

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(made: Made) -> Iterator[Server]:
    found = Server(made("music_video").read_bytes())
    yield found
    found.close()


def fetching(folder: Path, out: Path, server: Server, *more: str) -> list[str | Path]:
    settings = [
        f"source.path={folder}",
        "videos.download=true",
        f"videos.url={server.url}",
        "videos.allow_private=true",
        "videos.pause_s=0",
        "videos.backoff_s=0.05",
        "videos.retries=2",
        *more,
    ]
    words: list[str | Path] = ["build", "music_videos", "--out", out, "--only", "tags,splits"]
    for setting in settings:
        words += ["--set", setting]
    return words


def excluded(out: Path) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(out / "exclusions.parquet").to_pylist()
    return {row["id"]: (row["reason"], row["detail"]) for row in rows if row["stage"] == "videos"}


def test_what_is_served_is_fetched_and_what_is_not_is_told_apart(
    tmp_path: Path, command: Command, publish: Publish, server: Server, made: Made
) -> None:
    video = made("music_video").read_bytes()
    ids = [PLAIN, CUT, GONE, BUSY, SLOW, LARGE, PAGE, TEXT, DOWN, HANGS, UNSIZED]
    folder = publish({"One": ids[:4], "Two": ids[4:8], "Three": ids[8:]})
    out = tmp_path / "out"
    limits = ("videos.timeout_s=1", f"videos.max_bytes={2 * len(video)}", "videos.at_once=4", "videos.retries=1")
    words = fetching(folder, out, server, *limits)
    ran = command(*words)
    assert ran.code == 0, ran.err
    for name in (PLAIN, CUT, BUSY, SLOW):
        assert (out / "videos" / f"{name}.mp4").read_bytes() == video, name
    # What had come before the cut was not asked for again.
    begun = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.ranges(CUT) if asked]
    assert 0 < max(begun) <= len(video) // 2
    # What was given up leaves no half of a file behind.
    assert {path.name for path in (out / "videos/.partial").iterdir()} <= {"README", DOWN, HANGS}
    reasons = {track: reason for track, (reason, _) in excluded(out).items()}
    assert reasons == {
        GONE: "removed",
        LARGE: "too_large",
        UNSIZED: "too_large",
        PAGE: "not_video",
        TEXT: "not_video",
        DOWN: "network",
        HANGS: "network",
    }
    assert set(pq.read_table(out / "labels.parquet").column("track_id").to_pylist()) == {PLAIN, CUT, BUSY, SLOW}
    splits = set(pq.read_table(out / "splits.parquet").column("track_id").to_pylist())
    assert splits == {PLAIN, CUT, BUSY, SLOW}

    # What may pass is tried again, what failed for good is not; what is there is not fetched again.
    server.broken = False
    server.seen.clear()
    again = command(*words)
    assert again.code == 0, again.err
    assert {name for name, _ in server.seen} == {DOWN, HANGS}
    assert DOWN not in excluded(out) and HANGS in excluded(out)
    assert DOWN in set(pq.read_table(out / "labels.parquet").column("track_id").to_pylist())

    # All of it stands, whichever way it came: the receipt is that of a folder with the same files.
    (out / "videos/downloads.jsonl").write_text(
        "".join(
            line + "\n"
            for line in (out / "videos/downloads.jsonl").read_text("utf-8").splitlines()
            if json.loads(line)["id"] != HANGS
        )
        + json.dumps({**archived(out, HANGS), "passes": False})
        + '\n{"id": "torn'
    )
    server.seen.clear()
    assert "make" not in command(*words, "--dry-run").out
    assert command(*words).code == 0
    assert server.seen == []


def archived(out: Path, track: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in (out / "videos/downloads.jsonl").read_text("utf-8").splitlines()]
    found: dict[str, Any] = [line for line in lines if line["id"] == track][-1]
    return found


MPD = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT20S"
     profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>
<AdaptationSet mimeType="video/mp4">
  <Representation id="small" bandwidth="100000" width="160" height="90" codecs="avc1.42c00d">
    <BaseURL>{base}/small.mp4</BaseURL></Representation>
  <Representation id="large" bandwidth="900000" width="1280" height="720" codecs="avc1.42c00d">
    <BaseURL>{base}/large.mp4</BaseURL></Representation>
</AdaptationSet>
<AdaptationSet mimeType="audio/mp4">
  <Representation id="sound" bandwidth="48000" codecs="mp4a.40.2">
    <BaseURL>{base}/sound.m4a</BaseURL></Representation>
</AdaptationSet></Period></MPD>"""


def test_sound_and_pictures_come_apart_and_no_higher_than_allowed(
    tmp_path: Path, command: Command, publish: Publish
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    plan = plan_video("music_video", 3, 20.0, 12, (160, 90))
    encode_video(plan, site / "small.mp4", streams="video")
    encode_video(plan, site / "sound.m4a", streams="audio")
    (site / "large.mp4").write_bytes(b"never asked for")
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *words: Any, **keys: Any) -> None:
            super().__init__(*words, directory=str(site), **keys)

        def log_message(self, *words: Any) -> None:
            asked.append(self.path)

    Handler.extensions_map = {".mpd": "application/dash+xml", ".mp4": "video/mp4", ".m4a": "audio/mp4"}
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{http.server_port}"
    (site / f"{PLAIN}.mpd").write_text(MPD.format(base=base), "utf-8")
    out, folder = tmp_path / "out", tmp_path / "fetched"
    settings = ["videos.download=true", f"videos.url={base}/{{id}}.mpd", "videos.allow_private=true"]
    settings += [f"videos.folder={folder}", "videos.max_height=360", "videos.pause_s=0"]
    words: list[str | Path] = ["build", "music_videos", "--out", out, "--only", "videos"]
    for setting in [f"source.path={publish({'One': [PLAIN]})}", *settings]:
        words += ["--set", setting]
    ran = command(*words)
    http.shutdown()
    http.server_close()
    assert ran.code == 0, ran.err
    assert (folder / f"{PLAIN}.video.mp4").read_bytes() == (site / "small.mp4").read_bytes()
    assert (folder / f"{PLAIN}.audio.m4a").read_bytes() == (site / "sound.m4a").read_bytes()
    assert "/large.mp4" not in asked
    row = pq.read_table(out / "videos.parquet").to_pylist()[0]
    assert (row["audio_uri"], row["video_uri"], row["kind"]) == (
        f"{PLAIN}.audio.m4a",
        f"{PLAIN}.video.mp4",
        "music_video",
    )
    assert not (out / "videos").exists()


def test_private_addresses_are_refused_unless_allowed(
    tmp_path: Path, command: Command, publish: Publish, server: Server
) -> None:
    words = fetching(publish({"One": [PLAIN]}), tmp_path / "out", server, "videos.allow_private=false")
    ran = command(*words)
    assert ran.code == 2 and len(ran.err.splitlines()) <= 2
    assert "127.0.0.1 is an address of a private network" in ran.err and "videos.allow_private=true" in ran.err
    # A public address that leads on to a private one is met where the connection is made.
    request = {"id": PLAIN, "url": server.url.replace("{id}", PLAIN), "folder": str(tmp_path), "max_height": 360}
    request |= {"max_duration_s": 900, "max_bytes": 10**9, "bytes_a_second": None, "timeout_s": 5}
    request |= {"cookies": None, "proxy": None, "allow_private": False}
    children = Children()
    found = children.call("pipelines.videos.download:download", request, 60)
    children.end()
    assert (found["reason"], found["passes"]) == ("private_address", False)
    assert server.seen == []


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("not an address", False),
    ],
)
def test_which_addresses_are_public(host: str, public: bool) -> None:
    assert is_public(host) is public


@pytest.mark.parametrize(
    ("said", "reason", "passes"),
    [
        ("Private video. Sign in if you've been granted access to this video", "private", False),
        ("Join this channel to get access to members-only content like this video", "private", False),
        ("Video unavailable. This video has been removed by the uploader", "removed", False),
        ("This video is no longer available because the YouTube account has been terminated", "removed", False),
        ("The uploader has not made this video available in your country", "region_locked", False),
        ("Video unavailable. X has blocked it in your country on copyright grounds", "region_locked", False),
        ("Sign in to confirm your age. This video may be inappropriate for some users.", "age_restricted", False),
        ("Sign in to confirm you’re not a bot. Use --cookies", "rate_limited", True),
        ("This content isn't available, try again later. Your session has been rate-limited", "rate_limited", True),
        ("This live event will begin in 3 hours.", "unavailable", True),
        ("Requested format is not available. Use --list-formats", "unavailable", False),
        ("Unable to download webpage: <urlopen error [Errno -2] Name or service not known>", "network", True),
        ("The read operation timed out", "network", True),
        ("Something that nobody has met yet", "unavailable", True),
    ],
)
def test_what_servers_say_is_told_apart(said: str, reason: str, passes: bool) -> None:
    from yt_dlp.utils import DownloadError, ExtractorError

    error = DownloadError(f"ERROR: [youtube] {PLAIN}: {said}", (None, ExtractorError(said, expected=True), None))
    found = classified(error, {"proxy": None, "cookies": None, "folder": "/data"})
    assert (found["reason"], found["passes"]) == (reason, passes)
    assert said[:20] in found["detail"]


def test_what_is_no_id_never_becomes_an_address(tmp_path: Path) -> None:
    section = VideosSection(download=True, folder=str(tmp_path), url="https://example.org/{id}")
    fetcher = Fetcher(VideoPlace(section, None, Store(str(tmp_path))), Store(str(tmp_path)))
    for name in (
        "--exec=touch",
        "../../../et",
        "https://x.yz",
        "",
        "elevenchars\n",
        "ünicodeids1",
        "toolongtobeanid",
    ):
        outcome = fetcher.outcome(name)
        assert isinstance(outcome, tuple) and outcome[0] is Reason.INVALID_ID, name
    assert fetcher.waiting(["--exec=touch", PLAIN]) == [PLAIN]


def test_secrets_are_nowhere_in_the_dataset(
    tmp_path: Path, command: Command, publish: Publish, server: Server
) -> None:
    cookies = tmp_path / "hush-cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n", "utf-8")
    out = tmp_path / "out"
    # A proxy that nobody listens at: every download fails, and says so.
    secret = ("videos.proxy=http://user:hushhush@127.0.0.1:9", f"videos.cookies={cookies}", "videos.retries=0")
    ran = command(*fetching(publish({"One": [PLAIN]}), out, server, *secret))
    assert ran.code == 1 and "network" in ran.err, ran.err
    assert "hush" not in ran.out + ran.err
    for path in sorted(out.rglob("*")):
        assert not path.is_file() or b"hush" not in path.read_bytes(), path
    assert server.seen == []


def test_a_killed_build_goes_on_where_it_was(tmp_path: Path, publish: Publish, server: Server) -> None:
    ids = [f"many-{number:06d}" for number in range(8)]
    out = tmp_path / "out"
    words = [str(word) for word in fetching(publish({"One": ids}), out, server, "videos.pause_s=0.3")]
    archive = out / "videos/downloads.jsonl"
    command = [sys.executable, "-m", "tracklore", *words]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (archive.exists() and len(archive.read_text().splitlines()) >= 2):
        time.sleep(0.02)
    running.kill()
    running.wait()
    done = {json.loads(line)["id"] for line in archive.read_text("utf-8").splitlines()}
    assert 2 <= len(done) < len(ids)
    server.seen.clear()
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert done.isdisjoint(name for name, _ in server.seen)
    assert len(pq.read_table(out / "videos.parquet")) == len(ids)


def test_an_interrupted_build_ends_its_downloads(tmp_path: Path, publish: Publish, server: Server) -> None:
    out = tmp_path / "out"
    words = fetching(publish({"One": [PLAIN, STALLS, BUSY]}), out, server, "videos.at_once=1")
    running = subprocess.Popen(
        [sys.executable, "-m", "tracklore", *[str(word) for word in words]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's job may ignore it
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not server.ranges(STALLS):
        time.sleep(0.02)
    started = time.monotonic()
    running.send_signal(signal.SIGINT)
    try:
        _, told = running.communicate(timeout=40)
    finally:
        running.kill()
    assert time.monotonic() - started < 20 and running.returncode != 0
    assert b"Traceback" not in told
    assert told.splitlines()[-1] == b"tracklore: interrupted; the same command goes on from here"
    # What was ended is no failure of the video's.
    archive = [json.loads(line) for line in (out / "videos/downloads.jsonl").read_text("utf-8").splitlines()]
    assert [entry["id"] for entry in archive] == [PLAIN]
    assert server.ranges(BUSY) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"audio": None},
        {"bytes": "12"},
        {"reason": "nonsense", "detail": "d", "passes": True},
        {"reason": "network"},
        None,
    ],
)
def test_a_line_that_lacks_something_counts_as_none(broken: dict[str, Any] | None, tmp_path: Path) -> None:
    section = VideosSection(download=True, folder=str(tmp_path), url="https://example.org/{id}")
    (tmp_path / "a.mp4").write_bytes(b"12")
    place, store = VideoPlace(section, None, Store(str(tmp_path))), Store(str(tmp_path))
    request = Fetcher(place, store)._request
    whole = {"id": PLAIN, "request": request, "access": "", "audio": "a.mp4", "video": "a.mp4", "bytes": [2]}
    archive = tmp_path / "downloads.jsonl"
    archive.write_text(json.dumps(whole) + "\n", "utf-8")
    assert Fetcher(place, store).outcome(PLAIN) == VideoFiles("a.mp4", "a.mp4")
    kept = {key: value for key, value in whole.items() if key not in ("audio", "bytes")}
    archive.write_text(json.dumps({**kept, **(broken or {})}) + "\n", "utf-8")
    assert Fetcher(place, store).outcome(PLAIN) == (Reason.UNAVAILABLE, "not fetched yet")
    assert Fetcher(place, store).waiting([PLAIN]) == [PLAIN]


@pytest.mark.parametrize(
    "said",
    [
        "Unable to connect to proxy hidden.example.net",
        "HTTPConnection(host='hidden.example.net', port=3128): refused",
        "tunnel to Hidden.example.net:3128 failed.",
        "http://someone:hushhush@hidden.example.net:3128/ timed out",
    ],
)
def test_a_proxy_is_not_named(said: str) -> None:
    proxy = "http://someone:hushhush@hidden.example.net:3128"
    found = classified(OSError(said), {"proxy": proxy, "cookies": None, "folder": "/data"})
    assert "hidden" not in found["detail"].lower() and "hush" not in found["detail"]
    assert ":3128" not in found["detail"] and "…" in found["detail"]
    other = classified(OSError("not-hidden.example.net.org"), {"proxy": proxy, "cookies": None, "folder": "/data"})
    assert other["detail"] == "not-hidden.example.net.org"


def test_the_next_build_goes_on_in_mid_file(
    tmp_path: Path, command: Command, publish: Publish, server: Server, made: Made
) -> None:
    words = fetching(publish({"One": [CUT, PLAIN]}), tmp_path / "out", server, "videos.retries=0")
    first = command(*words)
    assert first.code == 0, first.err
    assert excluded(tmp_path / "out")[CUT][0] == "network"
    server.seen.clear()
    assert command(*words).code == 0
    begun = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.ranges(CUT) if asked]
    assert 0 < max(begun) <= len(made("music_video").read_bytes()) // 2
    assert (tmp_path / "out/videos" / f"{CUT}.mp4").read_bytes() == made("music_video").read_bytes()
    assert excluded(tmp_path / "out") == {}
