"""A build with --runner DataflowRunner: what is submitted, what runs, and what a person is told."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from tests.conftest import Command
from tests.pipelines.dataflow.google_server import TOKEN, GoogleServer

IMAGE = "registry.example/the-project/images/tracklore:1"
SETTINGS = ("--set", "features.ttmr.segments={span_s: 3}")
OFFERED = 2_000
"""Bytes of a transform's payload: the settings of a feature are there, and no list of tracks."""


def words(google: GoogleServer, *more: str) -> list[str]:
    flags = {
        "runner": "DataflowRunner",
        "project": "the-project",
        "region": "europe-west1",
        "temp_location": "gs://lake/tmp",
        "dataflow_endpoint": google.url,
        "sdk_container_image": IMAGE,
        "machine_type": "n2-standard-4",
        "num_workers": "4",
        "max_num_workers": "64",
        "autoscaling_algorithm": "THROUGHPUT_BASED",
    }
    given = [f"--{name}={value}" for name, value in flags.items()]
    source = ("--set", "source.path=gs://music")
    return ["build", "folder", "--out", "gs://lake/data", *source, *SETTINGS, *given, *more]


def submitted(google: GoogleServer) -> Sequence[dict[str, Any]]:
    return google.google.jobs


def options_of(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["environment"]["sdkPipelineOptions"]["options"]
    return found


def graph_of(google: GoogleServer, job: dict[str, Any]) -> Any:
    return beam_runner_api_pb2.Pipeline.FromString(google.google.object(options_of(job)["pipelineUrl"]))


def test_the_receipt_is_the_local_one_and_the_jobs_are_what_was_asked_for(
    google: GoogleServer,
    command: Command,
    music: Path,
    tmp_path: Path,
    private_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = command(
        "build", "folder", "--out", tmp_path / "data", "--set", f"source.path={music}", *SETTINGS, "--workers", "1"
    )
    assert here.code == 0, here.err
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-another-store")
    ran = command(*words(google, "--job_name=mine"))
    assert ran.code == 0, ran.err

    # The jobs ran what was staged, in processes of their own, and made the bytes that are made here.
    held = google.google.buckets["lake"]
    assert held["data/receipt.json"] == (tmp_path / "data/receipt.json").read_bytes()
    for stage in json.loads(held["data/receipt.json"])["stages"].values():
        for path in stage["files"]:
            assert held[f"data/{path}"] == (tmp_path / "data" / path).read_bytes(), path

    # Each of two jobs asks for all of a track at once.
    asked = [path for path in google.google.asked if path.startswith("/download/") and path.endswith("/o/0.flac")]
    assert len(asked) == 2, len(asked)

    jobs = submitted(google)
    assert [re.sub("-[0-9a-f]{8}$", "", job["name"]) for job in jobs] == [
        "mine-source", "mine-tags", "mine-tags", "mine-features-ttmr",
    ]  # fmt: skip
    for job in jobs:
        assert (job["projectId"], job["location"]) == ("the-project", "europe-west1")
        assert job["headers"]["authorization"] == f"Bearer {TOKEN}"
        pool = job["environment"]["workerPools"][0]
        assert pool["machineType"] == "n2-standard-4"
        assert pool["numWorkers"] == 4
        assert pool["autoscalingSettings"] == {"algorithm": 2, "maxNumWorkers": 64}  # 2: by throughput
        assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
        assert pool["numThreadsPerWorker"] == 2
        assert options_of(job)["save_main_session"] is False
        # What a person is told of it, as it is submitted.
        assert f"jobs/europe-west1/{job['id']}?project=the-project" in ran.err

    # Nothing that only the launcher may know is in the jobs, in what is staged, or in what is told.
    told = json.dumps([{k: v for k, v in job.items() if k != "headers"} for job in jobs]) + ran.out + ran.err
    staged = b"".join(data for name, data in held.items() if name.startswith("tmp/")) + told.encode()
    for secret in (TOKEN, private_key.splitlines()[2], "secret-of-another-store"):
        assert secret.encode() not in staged

    # And all of it stands: nothing is submitted again.
    again = command(*words(google))
    assert again.code == 0
    assert "everything stands" in again.out
    assert len(submitted(google)) == len(jobs)


def test_videos_in_a_bucket_are_looked_through_by_workers(
    google: GoogleServer, command: Command, tmp_path: Path
) -> None:
    from pipelines.synthesis.videos import encode_video, plan_video

    ids, videos, lists = ["aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"], tmp_path / "videos", tmp_path / "lists"
    videos.mkdir()
    lists.mkdir()
    for track, kind in zip(ids, ("music_video", "music_video", "still_image"), strict=True):
        encode_video(plan_video(kind, ids.index(track), 12.0, 12, (160, 90)), videos / f"{track}.mp4")
    lines = ["", "# new artist:\tSomebody\t0000000000000000000000", "", *ids]
    (lists / "youtube_video_ids_00_206947.txt").write_text("\n".join(lines) + "\n")
    recipe = ("build", "music_videos", "--set", f"source.path={lists}", "--only", "videos")
    here = command(*recipe, "--out", tmp_path / "data", "--set", f"videos.local={videos}")
    assert here.code == 0, here.err
    google.google.buckets["films"] = {path.name: path.read_bytes() for path in videos.iterdir()}
    given = [word for word in words(google) if word.startswith("--") and "=" in word]
    ran = command(*recipe, "--out", "gs://lake/data", "--set", "videos.local=gs://films", *given)
    assert ran.code == 0, ran.err
    assert google.google.buckets["lake"]["data/receipt.json"] == (tmp_path / "data/receipt.json").read_bytes()
    assert [re.sub("-[0-9a-f]{8}$", "", job["name"]) for job in submitted(google)] == [
        "tracklore-videos-digests", "tracklore-videos",
    ]  # fmt: skip

    # Downloads are no work of theirs, and the way to the bucket is told.
    fetched = ("--set", "videos.download=true", "--set", f"videos.folder={tmp_path / 'fetched'}")
    refused = command(*recipe, "--out", "gs://lake/fetched", *fetched, *given)
    assert refused.code == 2
    assert f"videos.download: Dataflow's workers cannot see {tmp_path / 'fetched'}" in refused.err
    assert "build with videos.local=gs://" in refused.err


def payloads(graph: Any) -> int:
    """Bytes of the largest transform, its functions and literals included."""
    return max(len(each.spec.payload) for each in graph.components.transforms.values())


def test_no_graph_grows_with_the_dataset(google: GoogleServer, command: Command, music: Path) -> None:
    google.google.fails = ("features", "not run")
    track = (music / "0.flac").read_bytes()
    sizes: list[dict[str, int]] = []
    for count in (3, 60):
        google.google.buckets["music"] = {f"{n:04d}.flac": track + n.to_bytes(2) for n in range(count)}
        google.google.buckets["lake"].clear()
        google.google.jobs.clear()
        assert command(*words(google, "--set", "source.keep_duplicates=true")).code == 1
        graphs = {job["name"]: graph_of(google, job) for job in submitted(google)}
        sizes.append({name: graph.ByteSize() for name, graph in graphs.items()})
        assert all(payloads(graph) < OFFERED for graph in graphs.values())
    few, many = sizes
    assert sorted(few) == sorted(many)
    assert len(few) == 3
    assert all(abs(many[name] - few[name]) < 100 for name in few), sizes


def test_a_job_that_fails_is_told_with_its_last_words(google: GoogleServer, command: Command) -> None:
    google.google.fails = "", "Traceback\n  of many lines\nRuntimeError: the workers' disks are full"
    ran = command(*words(google))
    assert ran.code == 1
    last = ran.err.splitlines()[-1]
    assert "the workers' disks are full" in last
    assert "build again" in last
    assert "Traceback" not in ran.err


def test_what_the_service_refuses_is_told_in_its_words(google: GoogleServer, command: Command) -> None:
    google.google.refuses = (403, "(abc): Could not create workflow; user does not have write access to project")
    ran = command(*words(google))
    assert ran.code == 1
    assert "user does not have write access to project" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err


def test_a_dry_run_of_beams_submits_nothing(google: GoogleServer, command: Command) -> None:
    ran = command(*words(google, "--dry_run=True"))
    assert ran.code == 0, ran.err
    assert "nothing was run" in ran.err.splitlines()[-1]
    assert not submitted(google)
    assert not any("/jobs" in path for path in google.google.asked)


def test_a_template_is_the_job_and_what_it_stages(google: GoogleServer, command: Command, tmp_path: Path) -> None:
    ran = command(*words(google, f"--template_location={tmp_path / 'job.json'}", "--no_auth"))
    assert ran.code == 0, ran.err
    assert str(tmp_path / "job.json") in ran.err.splitlines()[-1]
    assert not submitted(google)
    job = json.loads((tmp_path / "job.json").read_text())
    staged = options_of(job)["pipelineUrl"]
    assert staged.startswith("gs://lake/tmp/tracklore-source-"), staged
    assert {each["name"] for each in job["environment"]["workerPools"][0]["packages"]} == {
        "submission_environment_dependencies.txt"
    }
    assert payloads(graph_of(google, job)) < OFFERED


def test_a_template_may_be_staged_in_a_folder_here(google: GoogleServer, command: Command, tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    given = [word for word in words(google) if not word.startswith("--temp_location")]
    ran = command(
        *given,
        f"--template_location={tmp_path / 'job.json'}",
        f"--temp_location={tmp_path / 'staged'}",
        "--no_auth",
    )
    assert ran.code == 0, ran.err
    graph = beam_runner_api_pb2.Pipeline.FromString((tmp_path / "staged/pipeline.pb").read_bytes())
    assert payloads(graph) < OFFERED


@pytest.mark.parametrize(
    ("without", "more", "told"),
    [
        ("--project", (), "give --project"),
        ("--region", (), "give --region"),
        ("--temp_location", (), "give --temp_location gs://"),
        ("--sdk_container_image", (), "give --sdk_container_image"),
        (
            "",
            ("--temp_location=gs://nowhere/tmp",),
            "--temp_location gs://nowhere/tmp: there is no bucket 'nowhere'",
        ),
        ("", ("--staging_location=gs://nowhere/tmp",), "--staging_location gs://nowhere/tmp: there is no bucket"),
        (
            "",
            ("--temp_location=gs://nowhere/tmp", "--staging_location=gs://lake/staged"),
            "--temp_location gs://nowhere/tmp: there is no bucket 'nowhere'",
        ),
        ("", ("--out", "gs://nowhere/data"), "--out gs://nowhere/data: there is no bucket 'nowhere'"),
        ("", ("--s3_secret_access_key=hidden-words",), "--s3_secret_access_key: it would be written into the job"),
        ("", ("--set", "source.path={music}"), "Dataflow's workers cannot see {music}"),
    ],
)
def test_what_is_missing_is_one_line_before_anything_runs(
    google: GoogleServer, command: Command, music: Path, without: str, more: Sequence[str], told: str
) -> None:
    given = [word for word in words(google) if not (without and word.startswith(without))]
    ran = command(*given, *(word.format(music=music) for word in more))
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert told.format(music=music) in ran.err
    assert "hidden-words" not in ran.err
    assert not submitted(google)


def test_without_credentials_a_build_is_refused_with_the_way_to_get_them(
    google: GoogleServer, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nothing"))
    ran = command(*words(google))
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "no Google credentials; run gcloud auth application-default login" in ran.err
