"""A build whose input and output lie in an object store that fails: the same receipt as on a disk."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from tests.faults.builds import Started, words_of
from tests.faults.tally import Faults, some_of

SERVER = Path(__file__).parents[1] / "object_server.py"
PROXY = Path(__file__).parent / "bad_store.py"
KINDS = ("errors", "cut uploads", "cut answers", "late lists", "slow", "timeouts")
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
        one = start("", words=words, environment=keys(port))
        ran = one.end(600)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/counts", timeout=10) as answer:
            count = int(answer.read())
        assert count, "there was no fault"
        fault.what = f"a build that met {count}"
        failed = ran.code
        if failed:
            assert "Traceback" not in ran.err, ran.err[-3000:]
            again = start("", words=words, environment=keys(port)).end(600)
            assert again.code == 0, again.err[-2000:]
        require_equal(store, name, reference)
        assert "Traceback" not in ran.err, ran.err[-3000:]
        fault.recovered()


def require_equal(store: int, name: str, reference: Path) -> None:
    """Require that the objects of a dataset are the reference's files, byte for byte, and no others.

    Raises:
        AssertionError: they are not.
    """
    s3 = client(store)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="music", Prefix=f"{name}/")
    found = {item["Key"].removeprefix(f"{name}/") for page in pages for item in page.get("Contents", [])}
    wanted = {str(path.relative_to(reference)) for path in reference.rglob("*") if path.is_file()}
    wanted = {path for path in wanted if not path.startswith("music/")}
    assert found == wanted, found ^ wanted
    for path in sorted(wanted):
        body = s3.get_object(Bucket="music", Key=f"{name}/{path}")["Body"].read()
        assert body == (reference / path).read_bytes(), path
    uploads = s3.list_multipart_uploads(Bucket="music").get("Uploads", [])
    left = [item["Key"] for item in uploads if item["Key"].startswith(f"{name}/")]
    assert not left, f"uploads that nobody ended: {left}"


def test_a_store_that_lets_nobody_in(faults: Faults, start: Start, store: int, bucket: str) -> None:
    with faults.plant("object store: gone", "a port where nothing listens") as fault:
        one = start("", words=words_of(f"{bucket}/gone"), environment={**keys(1), "AWS_MAX_ATTEMPTS": "2"})
        ran = one.end(180)
        assert ran.code in (1, 2), ran.err
        assert "Traceback" not in ran.err, ran.err[-3000:]
        assert ran.err.strip().splitlines()[-1].startswith("tracklore: "), ran.err
        fault.refused()
