"""Dataflow as far as it goes without Google: the real client, and a service on loopback that runs its jobs."""

from __future__ import annotations

from pathlib import Path

import apache_beam

from tests.engines.conftest import Trial
from tests.faults.builds import files_of
from tests.pipelines.dataflow.google_project import google_project, new_private_key

HOW = "real client and submit call, service on loopback, graphs run with an embedded environment; all on gs://"


def test_dataflow(trial: Trial, manifest: Path, tmp_path: Path) -> None:
    folder = manifest.parent
    held = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    buckets: dict[str, dict[str, bytes]] = {"music": held, "lake": {}}
    with google_project(tmp_path / "google", buckets, new_private_key()) as (server, known):
        trial.manifest = f"gs://music/{manifest.name}"
        trial.begin(
            "Dataflow",
            apache_beam.__version__,
            HOW,
            "--runner=DataflowRunner",
            "--project=the-project",
            "--region=europe-west1",
            "--temp_location=gs://lake/tmp",
            f"--dataflow_endpoint={server.url}",
            "--sdk_container_image=registry.example/the-project/images/tracklore:1",
            out="gs://lake/data",
            environment=known,
        )
        trial.end()
        jobs = [job["currentState"] for job in server.google.jobs]
        assert jobs and set(jobs) == {"JOB_STATE_DONE"}, jobs
        names = [name for name in buckets["lake"] if name.startswith("data/")]
        found = {name.removeprefix("data/"): buckets["lake"][name] for name in names}
        assert sorted(found) == sorted(files_of(trial.reference))
        differing = [path for path, data in found.items() if data != (trial.reference / path).read_bytes()]
        assert not differing, f"other bytes: {differing}"
        trial.equal()
