"""What --dry-run says a build takes is what it takes, within the factors that the document states."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--prices", "nowhere.json", "--dry-run"), "--prices nowhere.json: cannot be read"),
        (("--prices", "{bad}", "--dry-run"), "prices.about: is required"),
        (("--prices", "{bad}"), "--prices goes with --dry-run"),
        (("--runner", "DataflowRunner", "--machine_type=z9-mega-4", "--dry-run"), "--machine_type z9-mega-4"),
    ],
)
def test_wrong_prices_are_one_line(command: Command, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    (tmp_path / "bad.json").write_text('{"vcpu_hour": -1}')
    out = "memory://costs" if "DataflowRunner" in words else str(tmp_path / "data")
    ran = command("build", "demo", "--out", out, *(word.format(bad=tmp_path / "bad.json") for word in words))
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert told in ran.err
