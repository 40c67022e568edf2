"""The flex template's parameters are the command's, and its launches make the dataset job by job."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import tracklore
from tests.conftest import Command

ROOT = Path(__file__).parents[3]


def launch() -> Any:
    spec = importlib.util.spec_from_file_location("launch", ROOT / "flex/launch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / "flex/metadata.json").read_text())["parameters"]
    return found


def options() -> dict[str, Any]:
    """The command's own, by name with underscores."""
    command: Any = typer.main.get_command(tracklore.app)
    return {
        max(each.opts, key=len).lstrip("-").replace("-", "_"): each for each in command.commands["build"].params
    }


def test_every_parameter_is_the_commands() -> None:
    known = options()
    for parameter in parameters():
        option = known[parameter["name"]]
        if parameter["name"] != "out":
            assert parameter["helpText"] == option.help
        assert parameter["isOptional"] is not option.required
        assert ("regexes" in parameter and "true" in parameter["regexes"][0]) == bool(
            getattr(option, "is_flag", False)
        )
    # The template itself says where and on how many workers; a plan is asked for where one types.
    elsewhere = {"runner", "workers", "dry_run", "prices"}
    assert {parameter["name"] for parameter in parameters()} == set(known) - elsewhere


@pytest.mark.parametrize(
    ("place", "runs"),
    [
        ("gs://lake/data", True),
        ("s3://lake/data", False),
        ("memory://data", False),
        ("/data", False),
        ("gs://", False),
    ],
)
def test_the_dataset_directory_is_a_bucket_as_its_help_says(place: str, runs: bool) -> None:
    out = next(parameter for parameter in parameters() if parameter["name"] == "out")
    assert all(re.search(pattern, place) for pattern in out["regexes"]) is runs
    told = set(re.findall(r"[a-z0-9]+(?=://)|\bpath\b", out["helpText"]))
    assert told == {"gs"}


def test_parameters_become_the_command_line() -> None:
    values = {
        "only": "tags; splits",
        "set": "splits.seed=1;source.path=gs://b/m",
        "check": "true",
        "strict": "false",
    }
    given = [
        f"--{each['name']}={values.get(each['name'], '7')}" for each in parameters() if each["name"] != "retry"
    ]
    words = launch().words_of([*given, "--machine_type=n2-standard-4"], "image:1")
    assert words[:2] == ["build", "7"]
    for pair in (["--only", "tags"], ["--only", "splits"], ["--set", "splits.seed=1"], ["--track-timeout", "7"]):
        assert any(words[place : place + 2] == pair for place in range(len(words))), pair
    assert "--check" in words
    assert "--strict" not in words
    assert words[-3:] == [
        "--machine_type=n2-standard-4",
        "--sdk_container_image=image:1",
        "--runner=DataflowRunner",
    ]


def test_a_parameter_is_missed_as_the_command_misses_it(command: Command) -> None:
    ran = command(*launch().words_of(["--manifest=folder"], None))
    assert ran.code == 2
    assert "--out" in ran.err


def test_launches_make_the_dataset_job_by_job(
    request: pytest.FixtureRequest, command: Command, music: Path, tmp_path: Path
) -> None:
    google = request.getfixturevalue("google")
    here = command("build", "folder", "--out", tmp_path / "data", "--set", f"source.path={music}", "--only", "tags")
    assert here.code == 0, here.err
    given = {
        "manifest": "folder", "out": "gs://lake/data", "set": "source.path=gs://music", "only": "tags",
        "project": "the-project", "region": "europe-west1", "temp_location": "gs://lake/tmp",
    }  # fmt: skip
    for number in range(6):
        place = tmp_path / f"job-{number}.json"
        words = [f"--{name}={value}" for name, value in given.items()]
        ran = command(*launch().words_of([*words, f"--template_location={place}"], "image:1"))
        assert ran.code == 0, ran.err
        if not place.exists():
            break
        job = json.loads(place.read_text())
        staged = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        graph = tmp_path / f"{number}.pb"
        graph.write_bytes(google.google.object(staged))
        assert google.google.worker.run(graph) == "done"
    assert "everything stands" in command(*launch().words_of(words, "image:1")).out
    assert google.google.buckets["lake"]["data/receipt.json"] == (tmp_path / "data/receipt.json").read_bytes()
    assert number == 3  # files, two passes over the tags, and nothing more
