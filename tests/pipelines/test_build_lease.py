"""Two builds at once in a directory of a store that has no locks."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from pipelines.build_lease import LEASE_FILE, RENEW_S, WATCH_S, leased
from pipelines.directory import only_build
from schemas.errors import DataError, UsageError
from schemas.store import Store
from tests.object_store import object_store, use_store

Command = Callable[..., Any]


@pytest.fixture
def out() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}/data")


def unheard(text: str) -> None:
    raise AssertionError(f"there was nothing to be told: {text}")


@contextmanager
def another_build(out: Store, every_s: float = 1.0) -> Iterator[None]:
    """A lease that another machine's build renews."""
    ended = threading.Event()

    def renew() -> None:
        count = 0
        while not ended.is_set():
            out.put(LEASE_FILE, json.dumps({"token": "another", "count": count}).encode())
            count += 1
            ended.wait(every_s)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_it_is_held_renewed_and_gone(out: Store) -> None:
    with leased(out, unheard):
        before = out.read_now(LEASE_FILE)
        time.sleep(2 * RENEW_S)
        assert out.read_now(LEASE_FILE) != before
        out.write_bytes("a", b"1")
    assert [info.path for info in out.list()] == ["a"]
    busy = pytest.raises(UsageError, match="another build is at work here; wait for it to end")
    with leased(out, unheard), busy, leased(out, lambda _: None):
        raise AssertionError("two hold it")
    assert [info.path for info in out.list()] == ["a"]


@pytest.mark.parametrize("error", [DataError("planted"), KeyboardInterrupt()])
def test_it_goes_with_an_error_and_with_an_interruption(out: Store, error: BaseException) -> None:
    with pytest.raises(type(error)), leased(out, unheard):
        raise error
    assert out.list() == []
    out.write_bytes("a", b"1")  # nothing guards it any more


def test_a_dry_run_takes_none_and_meets_none(out: Store) -> None:
    with only_build(out, dry_run=True, say=unheard):
        assert out.list() == []
    with another_build(out), only_build(out, dry_run=True, say=unheard):
        pass


def test_one_that_stands_still_is_taken_over(out: Store) -> None:
    content = b'{"token": "another", "count": 7}'
    out.put(LEASE_FILE, content)
    said: list[str] = []
    began = time.monotonic()
    with leased(out, said.append):
        taken = time.monotonic() - began
        assert out.read_now(LEASE_FILE) != content
    assert WATCH_S <= taken < WATCH_S + 10
    assert said == [f"{out.root}: another build may be at work here; waiting {WATCH_S:g} s to see"]
    assert out.list() == []


def test_one_that_moves_is_left_alone(out: Store) -> None:
    said: list[str] = []
    with another_build(out):
        began = time.monotonic()
        with pytest.raises(UsageError, match="another build is at work here"), leased(out, said.append):
            raise AssertionError("it was taken from a build at work")
        assert time.monotonic() - began < WATCH_S / 2
        assert b"another" in out.read_now(LEASE_FILE)
    assert len(said) == 1


def test_a_holder_that_lost_it_writes_and_removes_nothing_more(out: Store) -> None:
    with pytest.raises(DataError, match="another took the directory over") as raised, leased(out, unheard):
        out.write_bytes("before", b"1")
        out.put(LEASE_FILE, b'{"token": "another", "count": 0}')
        time.sleep(2 * RENEW_S)
        lost = "another took the directory over"
        with pytest.raises(DataError, match=lost):
            out.write_bytes("after", b"1")
        with pytest.raises(DataError, match=lost):
            out.remove("before")
        with pytest.raises(DataError, match=lost):
            out.require_allowed()
        raise OSError("what comes of it elsewhere")
    assert isinstance(raised.value.__cause__, OSError)
    assert {info.path for info in out.list()} == {"before", LEASE_FILE}, "the other's lease is not ours to remove"


def test_a_loss_that_no_renewal_saw_is_told_at_the_end(out: Store) -> None:
    with pytest.raises(DataError, match="another took the directory over"), leased(out, unheard):
        out.put(LEASE_FILE, b'{"token": "another", "count": 0}')
    assert b"another" in out.read_now(LEASE_FILE)


class Failing(Store):
    """A store in one process whose small requests fail while it is told to."""

    failing = False

    def put(self, relative: str, data: bytes) -> None:
        if Failing.failing:
            raise TimeoutError("planted")
        super().put(relative, data)

    def read_now(self, relative: str) -> bytes:
        if Failing.failing:
            raise RuntimeError("planted, of a client's own kind")
        return super().read_now(relative)


def test_renewals_that_fail_are_tried_again(out: Store) -> None:
    store = Failing(out.root)
    with leased(store, unheard):
        before = out.read_now(LEASE_FILE)
        Failing.failing = True
        try:
            time.sleep(2 * RENEW_S)
            assert out.read_now(LEASE_FILE) == before
            store.write_bytes("a", b"1")
        finally:
            Failing.failing = False
        time.sleep(2 * RENEW_S)
        assert out.read_now(LEASE_FILE) != before
    assert [info.path for info in out.list()] == ["a"]


def test_a_lease_that_is_gone_is_lost(out: Store) -> None:
    """Whoever took it over may have ended since."""
    with pytest.raises(DataError, match="or the file was deleted; build again"), leased(out, unheard):
        out.remove(LEASE_FILE)
        time.sleep(2 * RENEW_S)
        out.write_bytes("after", b"1")
    assert out.list() == []


class Unconditional(Store):
    """A store that others see, too, and that knows no condition on a write, or pays no heed to it."""

    knows = True

    @property
    def is_shared(self) -> bool:
        return True

    def create(self, relative: str, data: bytes) -> None:
        if not Unconditional.knows:
            raise NotImplementedError("planted")
        self.put(relative, data)


@pytest.mark.parametrize("knows", [True, False])
def test_of_two_that_write_at_once_one_builds(out: Store, knows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unconditional, "knows", knows)
    ends: list[str] = []
    at_once = threading.Barrier(4)

    def build() -> None:
        at_once.wait()
        try:
            with leased(Unconditional(out.root), lambda _: None):
                ends.append("built")
                time.sleep(2 * RENEW_S)
        except UsageError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends.count("built") == 1, ends
    assert len([end for end in ends if "another build is at work" in end]) == 3, ends
    assert out.list() == []


def test_an_object_store_keeps_two_apart_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store() as address:
        use_store(address, monkeypatch)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="leases")
        store = Store("s3://leases/data")
        store.create("x", b"first")
        with pytest.raises(FileExistsError):
            store.create("x", b"second")
        assert store.read_now("x") == b"first"
        began = time.monotonic()
        with leased(store, unheard):
            assert time.monotonic() - began < RENEW_S, "what the store promises need not be waited for"
            with pytest.raises(UsageError, match="another build is at work here"), leased(store, lambda _: None):
                raise AssertionError("two hold it")
        assert [info.path for info in store.list()] == ["x"]


def test_a_lease_is_no_foreign_file_and_in_no_output(
    out: Store, built: Path, command: Command, small: Sequence[str]
) -> None:
    out.put(LEASE_FILE, b"\xff of a build that was killed before its first receipt")
    ran = command("build", "demo", "--out", out.root, *small)
    assert ran.code == 0, ran.err
    assert f"waiting {WATCH_S:g} s to see" in ran.err
    listed = [info.path for info in out.list()]
    here = [info.path for info in Store(str(built)).list()]
    assert listed == here
    differing = [path for path in here if out.read_bytes(path) != Store(str(built)).read_bytes(path)]
    assert not differing
    assert command("verify", out.root).code == 0


def test_a_build_that_lost_its_directory_ends_in_a_line(out: Store, command: Command, small: Sequence[str]) -> None:
    def takes_over() -> None:
        while not out.exists(LEASE_FILE):
            time.sleep(0.01)
        out.put(LEASE_FILE, b'{"token": "another", "count": 0}')

    thread = threading.Thread(target=takes_over)
    thread.start()
    ran = command("build", "demo", "--out", out.root, *small)
    thread.join()
    assert ran.code == 1
    last = ran.err.strip().splitlines()[-1]
    assert last.startswith(f"tracklore: {out.root}: {LEASE_FILE} is not this build's any more"), ran.err
    assert "Traceback" not in ran.err
    assert b"another" in out.read_now(LEASE_FILE)
