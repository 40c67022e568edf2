"""Two builds at once in a directory of a store that has no locks."""

from __future__ import annotations

import errno
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from pipelines.build_lease import LEASE_FILE, RENEW_S, SETTLE_S, WATCH_S, leased
from pipelines.directory import only_build
from schemas.errors import DataError, StoreFailedError, UsageError
from schemas.store import Store
from tests.object_store import object_store, use_store

Command = Callable[..., Any]


@pytest.fixture
def out() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}/data")


def unheard(text: str) -> None:
    raise AssertionError(f"there was nothing to be told: {text}")


def until(there: Callable[[], bool], what: str) -> None:
    """Wait for something that takes moments on an idle machine."""
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def count_in(out: Store) -> int:
    """How often the lease was renewed; -1 when there is none."""
    try:
        return int(json.loads(out.read_now(LEASE_FILE))["count"])
    except FileNotFoundError:
        return -1


@contextmanager
def another_build(out: Store, every_s: float = 1.0) -> Iterator[None]:
    """A lease that another machine's build renews."""
    began, ended = threading.Event(), threading.Event()

    def renew() -> None:
        count = 0
        while not ended.is_set():
            out.put(LEASE_FILE, json.dumps({"token": "another", "count": count}).encode())
            count += 1
            began.set()
            ended.wait(every_s)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        assert began.wait(60), "the other did not begin"
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

    def put(self, relative: str, data: bytes, within_s: float | None = None) -> None:
        if Failing.failing:
            raise TimeoutError("planted")
        super().put(relative, data, within_s)

    def read_now(self, relative: str, within_s: float | None = None) -> bytes:
        if Failing.failing:
            raise RuntimeError("planted, of a client's own kind")
        return super().read_now(relative, within_s)


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


class Slow(Store):
    """A store that takes its time for each answer."""

    taken_s = 0.0

    def read_now(self, relative: str, within_s: float | None = None) -> bytes:
        time.sleep(Slow.taken_s)
        return super().read_now(relative, within_s)


def test_a_store_that_answers_later_than_renewals_come_is_one_in_which_builds_live(
    out: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.build_lease.RENEW_S", 0.2)
    monkeypatch.setattr(Slow, "taken_s", 0.5)
    with leased(Slow(out.root), unheard):
        until(lambda: count_in(out) >= 2, "it was not renewed")
    assert out.list() == []


class Hung(Store):
    """A store whose answers stay away while it is told so.

    Attributes:
        over: ends it.
        given_up: how many were waited for no longer.
    """

    stays_away = False
    over: threading.Event
    given_up = 0

    def read_now(self, relative: str, within_s: float | None = None) -> bytes:
        if not Hung.stays_away:
            return super().read_now(relative, within_s)
        if not Hung.over.wait(60 if within_s is None else within_s):
            Hung.given_up += 1
        raise StoreFailedError(errno.EIO, "planted", relative)


@pytest.fixture
def hung(out: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hung]:
    for name, value in {"stays_away": False, "over": threading.Event(), "given_up": 0}.items():
        monkeypatch.setattr(Hung, name, value, raising=False)
    yield Hung(out.root)
    Hung.over.set()


def test_a_renewal_that_is_not_answered_is_given_up_before_another_would_take_over(hung: Hung) -> None:
    with leased(hung, unheard):
        began = time.monotonic()
        Hung.stays_away = True
        try:
            until(lambda: Hung.given_up >= 1, "it waits for an answer that never comes")
        finally:
            Hung.stays_away = False
        assert time.monotonic() - began < WATCH_S
        before = count_in(hung)
        until(lambda: count_in(hung) > before, "it was not renewed")


@pytest.mark.parametrize("error", [DataError("planted"), KeyboardInterrupt()])
def test_the_end_of_a_build_does_not_wait_for_a_dead_store(
    hung: Hung, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it told in place of what ended the build."""
    monkeypatch.setattr("pipelines.build_lease._LEAVE_S", 1.0)
    said: list[str] = []
    began = time.monotonic()
    with pytest.raises(type(error)) as raised, leased(hung, said.append):
        Hung.stays_away = True
        raise error
    assert raised.value is error
    assert time.monotonic() - began < 30
    assert said == [f"{hung.root}: {LEASE_FILE} was left there (no answer); it ends by itself"]


def test_a_lease_that_is_gone_is_lost(out: Store) -> None:
    """Whoever took it over may have ended since."""
    with pytest.raises(DataError, match="or the file was deleted; build again"), leased(out, unheard):
        out.remove(LEASE_FILE)
        time.sleep(2 * RENEW_S)
        out.write_bytes("after", b"1")
    assert out.list() == []


class Unconditional(Store):
    """A store that others see, too, and that knows no condition on a write, or pays no heed to it."""

    refusal: Exception | None = None

    @property
    def is_shared(self) -> bool:
        return True

    def create(self, relative: str, data: bytes) -> None:
        if Unconditional.refusal is not None:
            raise Unconditional.refusal
        self.put(relative, data)


@pytest.mark.parametrize(
    "refusal", [None, NotImplementedError("planted"), OSError(errno.ENOSYS, "planted")], ids=repr
)
def test_of_two_that_write_at_once_one_builds(
    out: Store, refusal: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unconditional, "refusal", refusal)
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


class AtFault(Store):
    """A store that others see, too, and that fails to create a file for some times.

    Attributes:
        failures: what it fails with, the next one first.
        put_there: what was written without a condition.
    """

    failures: list[OSError]
    put_there: list[bytes]

    @property
    def is_shared(self) -> bool:
        return True

    def create(self, relative: str, data: bytes) -> None:
        if AtFault.failures:
            raise AtFault.failures.pop(0)
        super().create(relative, data)

    def put(self, relative: str, data: bytes, within_s: float | None = None) -> None:
        AtFault.put_there.append(data)
        super().put(relative, data, within_s)


def failed() -> StoreFailedError:
    return StoreFailedError(errno.EBUSY, "planted", LEASE_FILE)


@pytest.mark.parametrize(
    ("failures", "raised"),
    [
        ([failed(), failed()], None),
        ([failed() for _ in range(99)], StoreFailedError),
        ([PermissionError(errno.EACCES, "planted", LEASE_FILE)], PermissionError),
    ],
    ids=["for a moment", "for long", "no right"],
)
def test_a_store_that_fails_is_not_one_that_knows_no_conditions(
    out: Store, failures: list[OSError], raised: type[OSError] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another's condition has kept for it would be written over."""
    monkeypatch.setattr(AtFault, "failures", failures, raising=False)
    monkeypatch.setattr(AtFault, "put_there", [], raising=False)
    monkeypatch.setattr("pipelines.build_lease.RENEW_S", 60.0)  # a renewal is written without one
    monkeypatch.setattr(time, "sleep", lambda _: None)
    store = AtFault(out.root)
    if raised is None:
        with leased(store, unheard):
            assert count_in(out) == 0
    else:
        with pytest.raises(raised), leased(store, unheard):
            raise AssertionError("it builds without the lease")
    assert AtFault.put_there == []
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
        slept: list[float] = []
        with ExitStack() as held:
            with monkeypatch.context() as patched:
                patched.setattr(time, "sleep", slept.append)
                held.enter_context(leased(store, unheard))
            assert SETTLE_S not in slept, "what the store promises need not be waited for"
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


def test_a_build_that_lost_its_directory_ends_in_a_line(
    out: Store, command: Command, small: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.build_lease.RENEW_S", 0.2)
    taken_over, ended = threading.Event(), threading.Event()

    def takes_over() -> None:
        while not ended.wait(0.01):
            # Renewed, the build holds it, and has looked who was faster. A renewal might be on its way, so once is
            # too little.
            if taken_over.is_set() or count_in(out) >= 1:
                out.put(LEASE_FILE, b'{"token": "another", "count": 0}')
                taken_over.set()

    thread = threading.Thread(target=takes_over)
    thread.start()
    try:
        ran = command("build", "demo", "--out", out.root, *small)
    finally:
        ended.set()
        thread.join()
    assert taken_over.is_set(), "the build ended before it renewed its lease"
    assert ran.code == 1
    last = ran.err.strip().splitlines()[-1]
    assert last.startswith(f"tracklore: {out.root}: {LEASE_FILE} is not this build's any more"), ran.err
    assert "Traceback" not in ran.err
    assert b"another" in out.read_now(LEASE_FILE)
