"""A build whose input and output lie in an object store that fails: the same receipt as on a disk."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from tests.faults.builds import Started, words_of
from tests.faults.tally import Faults, share_of, some_of

SERVER = Path(__file__).parents[1] / "object_server.py"
PROXY = Path(__file__).parent / "bad_store.py"
KINDS = ("errors", "cut uploads", "cut answers", "late lists", "slow", "timeouts", "no answers", "cut parts")
# As small as parts may be: the shard of spectrograms is 14 MB.
PARTS = {"FSSPEC_S3": json.dumps({"default_block_size": 5 << 20, "fixed_upload_size": True})}
LEASE = ".lease"
Start = Callable[..., Started]


@contextmanager
def serving(*words: str | Path) -> Iterator[int]:
    """A server that prints its port; killed when the block ends."""
    with subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def store() -> Iterator[int]:
    with serving(SERVER, "0") as port:
        yield port


def keys(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def client(port: int) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )


@pytest.fixture(scope="module")
def bucket(store: int, reference: Path) -> str:
    """A bucket with the music in it."""
    s3 = client(store)
    s3.create_bucket(Bucket="music")
    for path in sorted((reference / "music").rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), "music", f"played/{path.relative_to(reference / 'music')}")
    return "s3://music"


@pytest.mark.parametrize("kind", some_of(KINDS))
def test_a_store_that_fails(
    faults: Faults, start: Start, reference: Path, store: int, bucket: str, kind: str
) -> None:
    name = kind.replace(" ", "-")
    with serving(PROXY, str(store), kind) as port, faults.plant(f"object store: {kind}", "a build") as fault:
        words = words_of(f"{bucket}/{name}", f"--set=source.path={bucket}/played", "--workers", "2")
        environment = {**keys(port), **(PARTS if kind == "cut parts" else {})}
        one = start("", words=words, environment=environment)
        ran = one.end(600)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/counts", timeout=10) as answer:
            count = int(answer.read())
        assert count, "there was no fault"
        fault.what = f"a build that met {count}"
        failed = ran.code
        if failed:
            assert ran.err.strip().splitlines()[-1].startswith("tracklore: "), ran.err[-2000:]
            require_no_half_shard(store, name, reference)
            again = start("", words=words, environment=environment).end(600)
            assert again.code == 0, again.err[-2000:]
            assert "another build" not in again.err, again.err
        assert failed or kind != "cut parts", "a part that is never taken was not missed"
        require_equal(store, name, reference)
        assert "Traceback" not in ran.err, ran.err[-3000:]
        assert "another build" not in ran.err, ran.err
        fault.recovered()


def require_equal(store: int, name: str, reference: Path) -> None:
    """Require that the objects of a dataset are the reference's files, byte for byte, and no others.

    Raises:
        AssertionError: they are not.
    """
    s3 = client(store)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="music", Prefix=f"{name}/")
    found = {item["Key"].removeprefix(f"{name}/") for page in pages for item in page.get("Contents", [])}
    assert LEASE not in found
    wanted = {str(path.relative_to(reference)) for path in reference.rglob("*") if path.is_file()}
    wanted = {path for path in wanted if not path.startswith("music/")}
    assert found == wanted, found ^ wanted
    for path in sorted(wanted):
        body = s3.get_object(Bucket="music", Key=f"{name}/{path}")["Body"].read()
        assert body == (reference / path).read_bytes(), path
    require_uploads_ended(s3, name)


def require_no_half_shard(store: int, name: str, reference: Path) -> None:
    """Require of a build that failed that each shard is as it is to be, or is not there; and no part of one.

    Raises:
        AssertionError: one is another, or was left in parts.
    """
    s3 = client(store)
    found = s3.list_objects_v2(Bucket="music", Prefix=f"{name}/features/").get("Contents", [])
    for path in (item["Key"].removeprefix(f"{name}/") for item in found):
        body = s3.get_object(Bucket="music", Key=f"{name}/{path}")["Body"].read()
        assert body == (reference / path).read_bytes(), path
    require_uploads_ended(s3, name)


def require_uploads_ended(s3: Any, name: str) -> None:
    """Require that no upload in parts is left open below a dataset.

    Raises:
        AssertionError: one is.
    """
    uploads = s3.list_multipart_uploads(Bucket="music").get("Uploads", [])
    left = [item["Key"] for item in uploads if item["Key"].startswith(f"{name}/")]
    assert not left, f"uploads that nobody ended: {left}"


def held(store: int, name: str) -> bool:
    """Whether a build holds the directory."""
    found = client(store).list_objects_v2(Bucket="music", Prefix=f"{name}/{LEASE}")
    return bool(found["KeyCount"])


BUSY = "another build is at work here; wait for it to end"
WATCHED = "another build may be at work here; waiting 20 s to see"


@pytest.mark.parametrize("number", range(share_of(6)))
def test_two_builds_into_one_directory(
    faults: Faults, start: Start, reference: Path, store: int, bucket: str, number: int
) -> None:
    name = f"two-{number}"
    later = random.Random(name).uniform(0, 8) if number % 2 else 0.0
    words = words_of(f"{bucket}/{name}", f"--set=source.path={bucket}/played", "--workers", "2")
    with faults.plant("object store: two builds", f"the second {later:.1f} s behind") as fault:
        first = start("", words=words, environment=keys(store))
        time.sleep(later)
        second = start("", words=words, environment=keys(store))
        first.wait_for(lambda: not second.running())
        ends = sorted((first.end(), second.end()), key=lambda ran: ran.code)
        assert [ran.code for ran in ends] == [0, 2], [ran.err[-1000:] for ran in ends]
        assert ends[1].err.strip().splitlines()[-1] == f"tracklore: {bucket}/{name}: {BUSY}", ends[1].err
        assert "another build" not in ends[0].err and "Traceback" not in ends[0].err + ends[1].err
        require_equal(store, name, reference)
        fault.refused()


def test_a_killed_build_in_a_store_is_gone_on_with(
    faults: Faults, start: Start, reference: Path, store: int, bucket: str
) -> None:
    for stage in ("features.ttmr:", "tags:", "source:")[: share_of(10)]:
        name = f"killed-{stage.rstrip(':')}"
        words = words_of(f"{bucket}/{name}", f"--set=source.path={bucket}/played", "--workers", "2")
        with faults.plant("object store: killed build", f"in {stage}") as fault:
            one = start("", words=words, environment=keys(store))
            one.reach(stage)
            one.kill()
            one.gone()
            assert held(store, name)
            require_no_half_shard(store, name, reference)
            again = start("", words=words, environment=keys(store)).end()
            assert again.code == 0, again.err[-2000:]
            assert f"{bucket}/{name}: {WATCHED}" in again.err.splitlines(), again.err
            require_equal(store, name, reference)
            fault.recovered()


def test_a_build_that_was_stopped_loses_its_directory(
    faults: Faults, start: Start, reference: Path, store: int, bucket: str
) -> None:
    for goes_on in ("while the other is at work", "when the other has ended")[: share_of(2)]:
        name = f"stopped-{goes_on.partition(' ')[0]}"
        words = words_of(f"{bucket}/{name}", f"--set=source.path={bucket}/played", "--workers", "2")
        with faults.plant("object store: stopped build", goes_on) as fault:
            first = start("", words=words, environment=keys(store))
            first.reach("features.ttmr:")
            for process in first.family():
                process.send_signal(signal.SIGSTOP)
            second = start("", words=words, environment=keys(store))
            if goes_on.startswith("while"):
                second.reach("features.")
            else:
                assert second.end().code == 0, second.err
            for process in first.family():
                process.send_signal(signal.SIGCONT)
            lost, kept = first.end(60), second.end()
            assert (lost.code, kept.code) == (1, 0), (lost.err[-2000:], kept.err[-2000:])
            assert "Traceback" not in lost.err, lost.err[-3000:]
            assert f"{LEASE} is not this build's any more" in lost.err.strip().splitlines()[-1], lost.err
            require_equal(store, name, reference)
            fault.refused()


def test_a_store_that_lets_nobody_in(faults: Faults, start: Start, store: int, bucket: str) -> None:
    with faults.plant("object store: gone", "a port where nothing listens") as fault:
        one = start("", words=words_of(f"{bucket}/gone"), environment={**keys(1), "AWS_MAX_ATTEMPTS": "2"})
        ran = one.end(180)
        assert ran.code == 1, ran.err
        assert "Traceback" not in ran.err, ran.err[-3000:]
        assert ran.err.strip().splitlines()[-1].startswith("tracklore: "), ran.err
        fault.refused()
