"""Apache Flink through Beam's job server: the cluster inside the job server, and one that stands by itself."""

from __future__ import annotations

import time
from pathlib import Path

from tests.engines.conftest import Trial
from tests.engines.services import (
    FLINK_VERSION,
    JARS,
    JOB_SERVER_JAR,
    POOL_NAME,
    Cluster,
    Machine,
    cluster,
)
from tests.faults.builds import Started

FLINK = ("--runner", "FlinkRunner", f"--flink_version={FLINK_VERSION}", f"--flink_job_server_jar={JOB_SERVER_JAR}")
EMBEDDED = (*FLINK, "--flink_master=[auto]")
STAGE = "features.mel:"


def flink_version() -> str:
    """Of Flink, and of the Beam that speaks to it."""

    def of(name: str) -> str:
        found = next(JARS.glob(f"{name}-[0-9]*.jar"), None)
        assert found is not None, f"{JARS} has no {name}: make engines FLINK_VERSION={FLINK_VERSION} fetches it"
        return found.stem.removeprefix(f"{name}-")

    return f"{of('flink-runtime')}, Beam {of(f'beam-runners-flink-{FLINK_VERSION}')}"


def test_flink_embedded(trial: Trial) -> None:
    trial.begin("Flink", flink_version(), "embedded, workers in the driver", *EMBEDDED)
    trial.finish()


def test_flink_embedded_with_music_videos(videos_trial: Trial) -> None:
    videos_trial.begin("Flink", flink_version(), "music videos; embedded, workers in the driver", *EMBEDDED)
    videos_trial.finish()


def test_flink_cluster(trial: Trial) -> None:
    with cluster(trial.logs, trial.home) as found:
        _begin(trial, found)
        trial.finish()
        jobs = found.asked("/jobs/overview")["jobs"]
        assert jobs and all(job["state"] == "FINISHED" for job in jobs), jobs


def test_flink_cluster_that_loses_a_task_manager(trial: Trial) -> None:
    with cluster(trial.logs, trial.home) as found:
        one = _begin(trial, found)
        one.reach(STAGE)
        assert one.wait_for(lambda: _at_work(found, trial.out)), f"no machine was seen at work: {one.err[-1000:]}"
        machine = _at_work(found, trial.out)
        assert machine is not None
        job = next(job for job in found.asked("/jobs/overview")["jobs"] if job["state"] == "RUNNING")
        machine.tasks.kill()
        assert one.running(), "it was killed too late"
        trial.row["killed"] = "a TaskManager, SIGKILL, while its worker decoded"
        trial.end()
        restarted = found.asked(f"/jobs/{job['jid']}")
        assert restarted["state"] == "FINISHED" and _restarts(found, job["jid"]) > 0, restarted["state"]
        _require_idle(machine)
        trial.finish()


def _begin(trial: Trial, found: Cluster) -> Started:
    pool = f"--environment_config={POOL_NAME}:{found.pool_port}"
    how = "1 JobManager, 2 TaskManagers, a worker pool each"
    flags = (*FLINK, f"--flink_master={found.master}", "--environment_type=EXTERNAL", pool)
    return trial.begin("Flink", flink_version(), how, *flags)


def _at_work(found: Cluster, out: Path) -> Machine | None:
    """A machine whose worker decodes, while a shard is still to come."""
    if len(list((out / ".work").glob("features.mel/0*.json"))) > 2:
        return None
    return next((machine for machine in found.machines if machine.decoding()), None)


def _restarts(found: Cluster, job: str) -> int:
    """How often the job was begun again."""
    for name in ("numRestarts", "fullRestarts"):
        told = found.asked(f"/jobs/{job}/metrics?get={name}")
        if told:
            return int(float(told[0]["value"]))
    attempts = [
        task["attempt"]
        for vertex in found.asked(f"/jobs/{job}")["vertices"]
        for task in found.asked(f"/jobs/{job}/vertices/{vertex['id']}")["subtasks"]
    ]
    return int(max(attempts))


def _require_idle(machine: Machine, seconds: float = 60.0) -> None:
    """Require that the workers of a lost machine end: nobody waits for them."""
    until = time.monotonic() + seconds
    while machine.workers() and time.monotonic() < until:
        time.sleep(0.2)
    left = machine.workers()
    assert not left, f"workers of a dead TaskManager are still there after {seconds:g} s: {left}"
