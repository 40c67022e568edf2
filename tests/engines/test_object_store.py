"""Manifest, music and dataset in an object store: the same bytes as on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apache_beam
import pytest

from tests.engines.conftest import Trial
from tests.engines.services import job_service, worker_pool
from tests.faults.test_object_store import SERVER, client, keys, require_equal, serving


@pytest.fixture(scope="module")
def store(manifest: Path) -> Iterator[int]:
    """A store with the manifest in it, and the clips beside the manifest."""
    with serving(SERVER, "0") as port:
        s3 = client(port)
        s3.create_bucket(Bucket="music")
        for path in sorted(manifest.parent.rglob("*")):
            if path.is_file():
                s3.upload_file(str(path), "music", f"corpus/{path.relative_to(manifest.parent)}")
        yield port


def test_fn_api_runner_on_an_object_store(trial: Trial, store: int) -> None:
    trial.manifest = "s3://music/corpus/clips.yaml"
    how, out = "threads; manifest, music and dataset on s3://", "s3://music/threads"
    trial.begin("FnApiRunner", apache_beam.__version__, how, out=out, environment=keys(store))
    trial.end()
    require_equal(store, "threads", trial.reference)
    trial.equal()


def test_worker_pool_on_an_object_store(trial: Trial, store: int) -> None:
    trial.manifest = "s3://music/corpus/clips.yaml"
    known = keys(store)
    with job_service(trial.logs, trial.home) as jobs, worker_pool(trial.logs, trial.home, **known) as (_, port):
        trial.begin(
            "portable job service",
            apache_beam.__version__,
            "a worker pool; manifest, music and dataset on s3://",
            "--runner",
            "PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{port}",
            out="s3://music/pool",
            environment=known,
        )
        trial.end()
        require_equal(store, "pool", trial.reference)
        trial.equal()
