"""What --dry-run says a build takes is what it takes, within the factors that the document states."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.conftest import Command

ROOT = Path(__file__).parents[2]
FACTOR = 2.5
"""Of CPU seconds: machines differ, and a small build is short."""


def figures(out: str) -> dict[str, list[str]]:
    """The rows of the table of costs by stage."""
    table = out[out.index("What it takes") :].splitlines()[2:]
    rows = [line.split() for line in table if re.match(r"\S+ +\d", line)]
    return {row[0]: row[1:] for row in rows if row[0] != "On"}


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty tracks of half a minute."""
    folder = tmp_path_factory.mktemp("music")
    for track in range(40):
        noise = np.random.default_rng(track).uniform(-0.3, 0.3, 44_100 * 30).astype(np.float32)
        soundfile.write(folder / f"{track:03d}.flac", noise, 44_100)
    return folder


def test_a_small_build_takes_what_was_said(music: Path, command: Command, tmp_path: Path) -> None:
    given = ["--set", f"source.path={music}", "--workers", "1"]
    first = command("build", "folder", "--out", tmp_path / "data", *given, "--only", "tags,splits")
    assert first.code == 0, first.err
    told = command("build", "folder", "--out", tmp_path / "data", *given, "--dry-run")
    assert told.code == 0, told.err
    assert list(figures(told.out)) == ["features.ttmr", "all"]
    core_hours, _, written, *_ = figures(told.out)["features.ttmr"]

    words = [sys.executable, "-m", "tracklore", "build", "folder", "--out", str(tmp_path / "data"), *given]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    started = json.loads((ROOT / "pipelines/costs/measured.json").read_text())["tracks"]["fixed_cpu_s"]
    said = 3600 * number(core_hours) + started
    assert said / FACTOR < took < said * FACTOR, f"{said:.1f} s were said, {took:.1f} taken"
    files = json.loads((tmp_path / "data/receipt.json").read_text())["stages"]["features.ttmr"]["files"]
    size = sum(file["bytes"] for file in files.values()) / 1e9
    assert number(written) == pytest.approx(size, rel=0.1)
    again = command("build", "folder", "--out", tmp_path / "data", *given, "--dry-run")
    assert "What it takes" not in again.out


def truncated(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:-100])


def without_a_column(table: Path) -> None:
    pq.write_table(pq.read_table(table).drop_columns(["duration_s"]), table)


def damaged(table: Path) -> None:
    """As long as before, so that nothing but reading it tells."""
    table.write_bytes(b"\0" * table.stat().st_size)


@pytest.mark.parametrize("harm", [truncated, without_a_column, damaged])
def test_a_table_that_cannot_be_read_is_planned_with_what_is_assumed(
    data: Path, small: Sequence[str], command: Command, harm: Callable[[Path], None]
) -> None:
    assert "everything stands" in command("build", "demo", "--out", data, *small).out
    for shard in (data / "features/ttmr").iterdir():
        shard.unlink()
    harm(data / "tracks.parquet")
    told = command("build", "demo", "--out", data, *small, "--dry-run")
    assert told.code == 0, told.err
    made = ["source", "features.ttmr"] if harm is not damaged else ["features.ttmr"]
    assert list(figures(told.out)) == [*made, "all"]
    assert "Assumed: tracks are 240 s long" in told.out


def test_more_workers_take_less_time_and_prices_are_the_users(command: Command, tmp_path: Path) -> None:
    def told(*words: str) -> str:
        given = ("--runner", "DataflowRunner", "--machine_type=n2-standard-4", *words)
        ran = command("build", "demo", "--out", "memory://costs", "--dry-run", *given)
        assert ran.code == 0, ran.err
        return next(line for line in ran.out.splitlines() if line.startswith("On "))

    prices = json.loads((ROOT / "pipelines/costs/prices.json").read_text())
    (tmp_path / "mine.json").write_text(
        json.dumps({**prices, "vcpu_hour": 1000, "currency": "EUR", "date": "2030-01-01"})
    )
    found = told("--num_workers=2")
    assert re.fullmatch(r"On 2 workers of 4 cores: .*, \d+\.\d\d worker-hours, \d+\.\d\d USD", found)
    dear = told("--num_workers=2", "--prices", str(tmp_path / "mine.json"))
    assert number(dear.split()[-2]) > 100 * number(found.split()[-2])
    assert dear.endswith("EUR")
    assert told("--num_workers=1", "--max_num_workers=16").startswith("On 16 workers of 4 cores")


def test_pictures_told_by_their_colours_cost_no_network(command: Command, tmp_path: Path) -> None:
    segments = {"span_s": 20, "count": 4, "segment_s": 5}

    def hours(kind: str) -> float:
        section = json.dumps({"pictures": {"kind": kind, "segments": segments}})
        given = ("--set", "source.tracks=4000", "--set", f"features={section}")
        told = command("build", "demo_video", "--out", tmp_path / "data", *given, "--dry-run")
        assert told.code == 0, told.err
        assert "was not measured" not in told.out
        return number(figures(told.out)["features.pictures"][0])

    assert 0 < hours("colour_layout") < hours("clip") / 5


def test_what_no_measured_cost_knows_of_is_told(music: Path, command: Command, tmp_path: Path) -> None:
    noisy = {
        "kind": "log_mel", "preset": "ttmr", "splits": ["test"], "deform": {"kind": "white_noise", "alpha": 0.4}
    }  # fmt: skip
    own = {"kind": "log_mel", "preset": "custom", "mel": {"rate": 16000, "n_fft": 512, "hop": 256, "mels": 40}}
    features = {"plain": {"kind": "waveform"}, "noisy": noisy, "own": own, "prints": {"kind": "fingerprint"}}
    given = ("--set", f"source.path={music}", "--set", f"features={json.dumps(features)}")
    told = command("build", "folder", "--out", tmp_path / "data", *given, "--dry-run")
    assert told.code == 0, told.err
    lines = [line for line in told.out.splitlines() if line.startswith("Not reckoned: ")]
    assert lines == [
        "Not reckoned: the stage recordings.",
        "Not reckoned: what features.own takes by itself: log_mel:custom was not measured, log_mel:ttmr was taken "
        "for it.",
        "Not reckoned: that features.noisy is of test only: all tracks were counted.",
        "Not reckoned: features.noisy.deform, which takes time of its own.",
    ]


def on_dataflow(command: Command, machine: str, *words: str | Path) -> str:
    """What is told of a machine type."""
    given = ("--runner", "DataflowRunner", "--num_workers=2", f"--machine_type={machine}", *words)
    ran = command("build", "demo", "--out", "memory://costs", "--dry-run", *given)
    assert ran.code == 0, ran.err
    assert "features.ttmr" in figures(ran.out)
    return ran.out


def money(told: str) -> float:
    return number(next(line for line in told.splitlines() if line.startswith("On ")).split()[-2])


def test_a_custom_machine_costs_what_an_equal_one_of_a_family_does(command: Command) -> None:
    usual = on_dataflow(command, "n2-standard-4")
    for name in ("custom-4-16384", "n2-custom-4-16384"):
        told = on_dataflow(command, name)
        assert "On 2 workers of 4 cores" in told
        assert money(told) == money(usual)
    assert money(on_dataflow(command, "n2-custom-4-32768-ext")) > money(usual)
    assert "On 2 workers of 2 cores" in on_dataflow(command, "e2-medium")


@pytest.mark.parametrize("name", ["a2-highgpu-1g", "c3-standard-4-lssd", "z9-mega-4", "n2-standard-0"])
def test_a_machine_without_a_price_is_told_beside_the_plan_and_can_be_given(
    command: Command, tmp_path: Path, name: str
) -> None:
    told = on_dataflow(command, name)
    assert f"--machine_type {name} is not in the file of prices" in told
    assert "add it to machine_types in --prices FILE" in told
    assert "USD" not in told
    prices = json.loads((ROOT / "pipelines/costs/prices.json").read_text())
    found = []
    for hour in (10, 1000):
        listed = {**prices, "machine_types": {name: {"cores": 12, "memory_gb": 85, "hour": hour}}}
        (tmp_path / "mine.json").write_text(json.dumps(listed))
        told = on_dataflow(command, name, "--prices", tmp_path / "mine.json")
        assert "On 2 workers of 12 cores" in told
        assert "is not in the file of prices" not in told
        found.append(money(told))
    assert found[1] == pytest.approx(100 * found[0], rel=0.01)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--prices", "nowhere.json", "--dry-run"), "--prices nowhere.json: cannot be read"),
        (("--prices", "{bad}", "--dry-run"), "prices.about: is required"),
        (("--prices", "{bad}"), "--prices goes with --dry-run"),
        (("--prices", "{machine}", "--dry-run"), "prices.machine_types.big-one.cores"),
    ],
)
def test_wrong_prices_are_one_line(command: Command, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    shipped = json.loads((ROOT / "pipelines/costs/prices.json").read_text())
    bad, machine = tmp_path / "bad.json", tmp_path / "machine.json"
    bad.write_text('{"vcpu_hour": -1}')
    machine.write_text(json.dumps({**shipped, "machine_types": {"big-one": {"cores": 0, "memory_gb": 1}}}))
    given = [word.format(bad=bad, machine=machine) for word in words]
    ran = command("build", "demo", "--out", tmp_path / "data", *given)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert told in ran.err
