from __future__ import annotations

import hashlib
import json
import os
import pickle
import threading
import urllib.request
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import StoreFailedError, UsageError
from schemas.store import LINKED_FOLDER, TEMPORARY_PREFIX, OutsideStoreError, Store, relative_path
from tests.failing_store import FAILURES, FailingFiles
from tests.object_store import object_store, use_store
from tracklore import main


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "data") if request.param == "local" else f"memory://{uuid.uuid4().hex}/data")


@pytest.mark.parametrize(
    "path", ["", ".", "/", "/etc/passwd", "..", "a/..", "../a", "a/../b", "a\x00b", "gs://bucket/a", "a/../../b"]
)
def test_a_path_that_would_leave_the_folder_is_refused(path: str, store: Store) -> None:
    with pytest.raises(OutsideStoreError):
        relative_path(path)
    for use in (store.read_bytes, store.exists, store.remove, store.size, store.full):
        with pytest.raises(OutsideStoreError, match="not a path inside"):
            use(path)
    with pytest.raises(OutsideStoreError):
        store.write_bytes(path, b"x")


@pytest.mark.parametrize(
    ("path", "clean"),
    [("a//b", "a/b"), ("./a/./b", "a/b"), ("a/b/", "a/b"), ("..a/b..", "..a/b.."), ("a b/ü", "a b/ü")],
)
def test_paths_inside_are_made_clean(path: str, clean: str) -> None:
    assert relative_path(path) == clean


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4).map("/".join))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_a_clean_path_stays_clean_and_below(path: str) -> None:
    try:
        clean = relative_path(path)
    except OutsideStoreError:
        return
    assert relative_path(clean) == clean
    assert not clean.startswith("/")
    assert not {"..", ".", ""} & set(clean.split("/"))


def test_what_is_written_is_read_listed_sized_and_digested(store: Store) -> None:
    assert not store.root_exists()
    assert store.list() == []
    store.write_bytes("b/ü x.bin", b"123")
    store.write_text("a.txt", "ö\n")
    assert store.root_exists()
    assert [(info.path, info.bytes) for info in store.list()] == [("a.txt", 3), ("b/ü x.bin", 3)]
    assert [info.path for info in store.list("b")] == ["b/ü x.bin"]
    assert store.read_text("a.txt") == "ö\n"
    assert store.sha256("b/ü x.bin") == hashlib.sha256(b"123").hexdigest()
    assert store.size("a.txt") == 3
    assert store.size("c") is None
    assert store.info("a.txt").path == "a.txt"
    with pytest.raises(FileNotFoundError):
        store.info("c")
    store.remove("a.txt")
    store.remove("a.txt")
    assert not store.exists("a.txt")


def test_a_neighbour_whose_name_begins_alike_is_not_listed(store: Store) -> None:
    store.write_bytes("run/a", b"1")
    store.write_bytes("running/b", b"1")
    assert [info.path for info in store.list("run")] == ["run/a"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(store: Store) -> None:
    store.write_bytes("a", b"old")
    with pytest.raises(ZeroDivisionError), store.writing("a") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert store.read_bytes("a") == b"old"
    assert store.remove_temporaries() == 0
    assert [info.path for info in store.list()] == ["a"]


def test_a_file_that_is_not_wanted_any_more_when_it_is_written_leaves_the_old_one(store: Store) -> None:
    store.write_bytes("a", b"old")

    def refuse() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write_text("a", "new", refuse)
    assert store.read_bytes("a") == b"old"
    assert store.remove_temporaries() == 0


def test_a_reader_never_sees_half_a_file(store: Store) -> None:
    store.write_bytes("d/a", b"old")
    with store.writing("d/a") as stream:
        stream.write(b"new and longer")
        assert store.read_bytes("d/a") == b"old"
        assert [info.path for info in store.list()] == ["d/a"]
    assert store.read_bytes("d/a") == b"new and longer"


def test_two_attempts_never_write_into_each_other(store: Store) -> None:
    with store.writing("a") as first:
        first.write(b"first")
        with store.writing("a") as second:
            second.write(b"second")
        assert store.read_bytes("a") == b"second"
    assert store.read_bytes("a") == b"first"


def test_what_killed_attempts_left_is_hidden_and_removed(store: Store) -> None:
    store.write_bytes("features/x/a", b"1")
    for path in (f"{TEMPORARY_PREFIX}a-1", f"features/x/{TEMPORARY_PREFIX}b-2"):
        store.write_bytes(path, b"half")
    assert [info.path for info in store.list()] == ["features/x/a"]
    assert store.remove_temporaries() == 2
    assert store.remove_temporaries() == 0
    assert store.read_bytes("features/x/a") == b"1"


def test_what_is_left_behind_is_removed_by_whoever_may_write_there(store: Store) -> None:
    store.write_bytes(f"{TEMPORARY_PREFIX}a-1", b"half")

    def refuse() -> None:
        raise ZeroDivisionError

    with store.guarded(refuse, lambda: None), pytest.raises(ZeroDivisionError):
        store.remove_temporaries()
    assert store.read_bytes(f"{TEMPORARY_PREFIX}a-1") == b"half"
    assert store.remove_temporaries() == 1


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("a", b"1")
    os.utime(tmp_path / "a", ns=(1, 1))
    before = store.info("a").stamp, store.list()[0].stamp
    assert before[0]
    os.utime(tmp_path / "a", ns=(1, 2_000_000_000))
    assert store.list()[0].stamp != before[1]
    assert store.info("a").stamp != before[0]


def test_a_store_travels_to_another_process_as_its_root(store: Store) -> None:
    store.write_bytes("a", b"1")
    again = pickle.loads(pickle.dumps(store))
    assert again == store
    assert again.read_bytes("a") == b"1"


def test_links_are_told_apart(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "f").write_bytes(b"1")
    (outside / "sub" / "g").write_bytes(b"1")
    root = tmp_path / "data"
    root.mkdir()
    (root / "own").write_bytes(b"1")
    (root / "to_own").symlink_to(root / "own")
    (root / "to_outside").symlink_to(outside / "f")
    (root / "to_folder").symlink_to(outside / "sub")
    (root / "dangling").symlink_to(root / "nothing")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    store = Store(str(root))
    listed = {info.path: info for info in store.list()}
    assert set(listed) == {"own", "to_own", "to_outside", "to_folder", "dangling", "loop"}
    assert listed["to_folder"].stamp == LINKED_FOLDER
    assert {path for path in listed if not store.inside(path)} == {"to_outside", "to_folder"}
    assert store.inside("own")


def test_a_root_that_is_itself_a_link_is_the_folder_behind_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = Store(str(tmp_path / "link"))
    assert [info.path for info in store.list()] == ["a"]
    assert store.inside("a")


def test_local_and_memory_know_what_they_are(tmp_path: Path) -> None:
    local, memory = Store(str(tmp_path)), Store("memory://somewhere")
    assert (local.is_local, local.is_shared) == (True, True)
    assert (memory.is_local, memory.is_shared) == (False, False)
    assert local.local_path("a/b") == tmp_path / "a" / "b"
    assert memory.local_path("a/b") is None
    assert memory.inside("a/b")


def test_a_store_that_cannot_be_reached_says_what_to_install() -> None:
    with pytest.raises(UsageError, match="cannot reach this kind of store"):
        Store("nosuch://bucket").list()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    store = Store(str(tmp_path))
    for read in (store.open, store.open_random, store.read_bytes, store.sha256):
        with pytest.raises(OSError, match="pipe or a device"):
            read("pipe")


def test_what_another_process_writes_behind_a_listing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store() as url:
        use_store(url, monkeypatch)
        other = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        other.create_bucket(Bucket="listed")
        store = Store("s3://listed/data")
        other.put_object(Bucket="listed", Key="data/parts/a", Body=b"a")
        assert [info.path for info in store.list("parts")] == ["parts/a"]
        other.put_object(Bucket="listed", Key="data/parts/b", Body=b"b")
        assert store.exists("parts/b")
        assert store.read_bytes("parts/b") == b"b"
        other.put_object(Bucket="listed", Key="data/parts/c", Body=b"c")
        assert [info.path for info in store.list("parts")] == ["parts/a", "parts/b", "parts/c"]


def test_a_google_store_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.clients._SILENCE_S", 1.0)
    asked: list[str] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) == 1:
                over.wait(60)
                return
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"there")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "none")
        try:
            assert Store(f"gs://bucket/{uuid.uuid4().hex}").read_now("a") == b"there"
        finally:
            over.set()
            server.shutdown()
    assert len(asked) >= 2


def test_an_upload_that_is_given_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file in parts its first parts were taken already."""
    with object_store() as address:
        use_store(address, monkeypatch)
        s3 = boto3.client("s3", endpoint_url=address)
        s3.create_bucket(Bucket="parts")
        store = Store("s3://parts/data")
        with pytest.raises(KeyboardInterrupt), store.writing("a") as stream:
            for _ in range(11):
                stream.write(bytes(5 << 20))
            assert s3.list_multipart_uploads(Bucket="parts")["Uploads"]
            raise KeyboardInterrupt
        assert "Uploads" not in s3.list_multipart_uploads(Bucket="parts")
        assert "Contents" not in s3.list_objects_v2(Bucket="parts")


def test_a_track_is_two_requests_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size, and all of it: what `docs/scale.md` reckons with."""
    with object_store() as address:
        use_store(address, monkeypatch)
        s3 = boto3.client("s3", endpoint_url=address)
        s3.create_bucket(Bucket="music")
        s3.put_object(Bucket="music", Key="in/a.mp3", Body=bytes(9 << 20))
        Store("s3://music/in").exists("b.mp3")  # opens the connection
        counts = f"{address}/-/counts"
        urllib.request.urlopen(counts, timeout=10).close()
        with Store("s3://music/in").open("a.mp3") as stream:
            while stream.read(1 << 16):
                pass
        with urllib.request.urlopen(counts, timeout=10) as answer:
            assert json.load(answer)["requests"] == 2


def test_a_renewal_of_a_lease_is_three_requests_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look, for which its client asks twice, and a write: what `docs/scale.md` reckons with."""
    with object_store() as address:
        use_store(address, monkeypatch)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="leases")
        store = Store("s3://leases/data")
        store.create("a", b"1")
        counts = f"{address}/-/counts"
        urllib.request.urlopen(counts, timeout=10).close()
        assert store.read_now("a") == b"1"
        store.put("a", b"2")
        with urllib.request.urlopen(counts, timeout=10) as answer:
            assert json.load(answer)["requests"] == 3
        assert store.read_now("a") == b"2"


class _Answers:
    """A store that answers each request with the next status of a list, and with the last one ever after."""

    def __init__(self, statuses: list[tuple[int, str]]) -> None:
        self.statuses, self.asked = statuses, 0

    def serve(self, monkeypatch: pytest.MonkeyPatch) -> ThreadingHTTPServer:
        answers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # by which a client may ask before it sends a body

            def log_message(self, *words: Any) -> None:
                pass

            def _answer(self) -> None:
                status, code = answers.statuses[min(answers.asked, len(answers.statuses) - 1)]
                answers.asked += 1
                body = b"there"
                if status != 200:
                    body = f"<Error><Code>{code}</Code><Message>planted words</Message></Error>".encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_DELETE = _answer  # noqa: N815

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer()

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        use_store(f"http://127.0.0.1:{server.server_port}", monkeypatch)
        return server


def test_a_store_at_fault_is_asked_again_for_longer_than_its_client_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto asks five times; of the thousands of requests of a build one may meet five errors in a row."""
    answers = _Answers([(500, "InternalError")] * 7 + [(200, "")])
    with answers.serve(monkeypatch) as server:
        assert Store("s3://bucket/data").read_now("a") == b"there"
        server.shutdown()
    assert answers.asked > 7


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "InternalError", StoreFailedError),
        (403, "AccessDenied", PermissionError),
        (404, "NoSuchKey", FileNotFoundError),
    ],
)
def test_what_a_store_refuses_names_the_place(
    status: int, code: str, kind: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with _Answers([(status, code)]).serve(monkeypatch) as server:
        store = Store("s3://bucket/data")
        uses: dict[str, Callable[[], Any]] = {
            "read_now": lambda: store.read_now("a/b"),
            "read": lambda: store.read_bytes("a/b"),
            "ranges": lambda: store.read_ranges([("a/b", 0, 2)]),
            "info": lambda: store.info("a/b"),
        }
        if status != 404:
            uses |= {"put": lambda: store.put("a/b", b"1")}
        for name, use in uses.items():
            with pytest.raises(kind) as raised:
                use()
            assert raised.value.filename == "s3://bucket/data/a/b", (name, raised.value)
            assert raised.value.strerror and "Errno" not in raised.value.strerror, (name, raised.value)
            if kind is FileNotFoundError:
                assert raised.value.strerror == "No such file or directory", (name, raised.value)
        if kind is StoreFailedError:
            with pytest.raises(kind) as raised:
                store.write_bytes("a/b", b"1")
            assert raised.value.strerror == "the store did not do what was asked: planted words"
            assert raised.value.filename.startswith("s3://bucket/data/a")
            with pytest.raises(kind):
                store.list()
        server.shutdown()


def test_a_store_that_fails_ends_a_command_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with _Answers([(500, "InternalError")]).serve(monkeypatch) as server:
        with pytest.raises(SystemExit) as ended:
            main(["verify", "s3://bucket/data"])
        server.shutdown()
    told = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 1, told
    assert told[-1].startswith("tracklore: s3://bucket/data/receipt.json: the store did not do what was asked"), (
        told
    )
    assert told[-1].endswith("; run it again"), told


@pytest.mark.parametrize("failure", FAILURES)
def test_a_network_that_fails_is_a_store_that_fails(failure: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Clients raise kinds of their own, some of which are OSErrors and some of which have no number."""
    store = Store("failing://network/data")
    store.write_bytes("a/b", b"there")
    store.write_text("receipt.json", "{}")
    FailingFiles.plant(failure)
    FailingFiles.deaf = True
    try:
        uses: list[Callable[[], Any]] = [
            lambda: store.read_bytes("a/b"),
            lambda: store.info("a/b"),
            lambda: store.size("a/b"),
            lambda: store.is_folder("a"),
        ]
        for number, use in enumerate(uses):
            with pytest.raises(StoreFailedError, match=r"the store did not do what was asked: \w") as raised:
                use()
            assert raised.value.filename.startswith("failing://network/data/a"), (number, raised.value)
        FailingFiles.deaf = False
        with pytest.raises(SystemExit) as ended:
            main(["verify", store.root])
    finally:
        FailingFiles.mend()
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert ended.value.code == 1, told
    assert told.endswith("; run it again"), told


def test_a_file_far_away_is_read_by_lines_in_blocks_and_at_random_by_what_is_asked() -> None:
    store = Store("failing://network/lines")
    line = b"x" * 79 + b"\n"
    store.write_bytes("a", line * 10_000)
    FailingFiles.mend()
    with store.open("a") as stream:
        assert list(stream) == [line] * 10_000
    assert FailingFiles.reads < 50
    FailingFiles.plant("reset", at=100)
    with store.open_random("a") as stream:
        assert stream.read(100) == (line * 2)[:100]
    FailingFiles.mend()


def test_a_file_of_memory_is_read_by_two_at_once() -> None:
    """It is one stream for all who open it."""
    store = Store(f"memory://{uuid.uuid4().hex}")
    content = os.urandom(1 << 20)
    store.write_bytes("a", content)
    for opened in (store.open, store.open_random):
        with opened("a") as one, opened("a") as other:
            parts = [(one.read(50_000), other.read(70_000)) for _ in range(30)]
        assert b"".join(part for part, _ in parts) == content
        assert b"".join(part for _, part in parts) == content
