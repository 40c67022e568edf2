"""Beam's portable job service, its workers in a pool of another environment."""

from __future__ import annotations

import os
import subprocess

import apache_beam

from tests.engines.conftest import Trial
from tests.engines.services import ROOT, WORKER_PYTHON, job_service, worker_pool, workers_environment

NAME = "portable job service"


def flags(jobs: int, pool: int) -> list[str]:
    """A build's, for the ports of a job service and of a worker pool."""
    workers = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{pool}"]
    return ["--runner", "PortableRunner", f"--job_endpoint=localhost:{jobs}", *workers]


def test_job_service_with_a_worker_pool(trial: Trial) -> None:
    asked = [str(WORKER_PYTHON), "-c", "import pipelines; print(pipelines.__file__)"]
    known = workers_environment(trial.home)
    told = subprocess.run(asked, cwd=trial.home, env=known, capture_output=True, text=True, check=True).stdout
    assert str(WORKER_PYTHON.parents[1]) in told, "the workers have no code of their own"
    assert not told.startswith(str(ROOT / "pipelines"))
    with job_service(trial.logs, trial.home) as jobs, worker_pool(trial.logs, trial.home) as (pool, port):
        trial.begin(
            NAME,
            apache_beam.__version__,
            "a worker pool of another environment",
            *flags(jobs, port),
            out=os.path.relpath(trial.out, ROOT),  # the workers have another working directory
        )
        trial.finish()
        assert "Starting worker with command" in pool.log.read_text(), "the pool had nothing to do"


def test_job_service_with_music_videos(videos_trial: Trial) -> None:
    logs, home = videos_trial.logs, videos_trial.home
    with job_service(logs, home) as jobs, worker_pool(logs, home) as (_, port):
        how = "music videos; a worker pool of another environment"
        videos_trial.begin(NAME, apache_beam.__version__, how, *flags(jobs, port))
        videos_trial.finish()
