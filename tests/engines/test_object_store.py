"""Manifest, music and dataset in an object store: the same bytes as on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apache_beam
import pytest

from tests.engines.conftest import Trial
from tests.engines.services import job_service, worker_pool
from tests.engines.test_flink import EMBEDDED, flink_version
from tests.engines.test_portable import NAME, flags
from tests.engines.test_prism import prism
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


def _built(trial: Trial, store: int, name: str, engine: str, version: str, how: str, *flags: str) -> None:
    """Build from the store into the store, and require the reference's bytes."""
    trial.manifest = "s3://music/corpus/clips.yaml"
    how = f"{how}; manifest, music and dataset on s3://"
    trial.begin(engine, version, how, *flags, out=f"s3://music/{name}", environment=keys(store))
    trial.end()
    require_equal(store, name, trial.reference)
    trial.equal()


def test_fn_api_runner_on_an_object_store(trial: Trial, store: int) -> None:
    _built(trial, store, "threads", "FnApiRunner", apache_beam.__version__, "threads")


def test_worker_pool_on_an_object_store(trial: Trial, store: int) -> None:
    logs, home = trial.logs, trial.home
    with job_service(logs, home) as jobs, worker_pool(logs, home, **keys(store)) as (_, pool):
        _built(trial, store, "pool", NAME, apache_beam.__version__, "a worker pool", *flags(jobs, pool))


def test_prism_on_an_object_store(trial: Trial, store: int) -> None:
    version, given = prism()
    _built(trial, store, "prism", "Prism", version, "workers in the driver", *given)


def test_flink_on_an_object_store(trial: Trial, store: int) -> None:
    _built(trial, store, "flink", "Flink", flink_version(), "embedded, workers in the driver", *EMBEDDED)
