"""The Dockerfile's own install steps, run in a virtual environment of its own: there need be no Docker here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BEAM = "2.77.0"


def steps(path: Path) -> list[tuple[str, str]]:
    """Instructions with their words, continued lines joined."""
    text = re.sub(r"\\\n", " ", path.read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def test_the_image_has_the_beam_of_the_lock() -> None:
    (image,) = [words for name, words in steps(ROOT / "Dockerfile") if name == "FROM"]
    assert image == f"apache/beam_python3.11_sdk:{BEAM}"
    assert f"apache-beam=={BEAM}" in (ROOT / "requirements.lock").read_text()


def test_what_is_copied_is_there_and_is_all_that_a_wheel_needs() -> None:
    copied = [word for name, words in steps(ROOT / "Dockerfile") if name == "COPY" for word in words.split()[:-1]]
    assert all((ROOT / word).exists() for word in copied)
    packaged = re.search(r"only-include = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())
    assert packaged is not None
    assert set(re.findall(r'"(.*?)"', packaged[1])) <= set(copied)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Where the virtual environment goes: gigabytes, which are not kept as pytest keeps folders."""
    yield tmp_path / "venv"
    shutil.rmtree(tmp_path / "venv", ignore_errors=True)


@pytest.mark.skipif(not os.environ.get("TRACKLORE_DOCKERFILE"), reason="downloads gigabytes; make engines runs it")
def test_its_steps_install_a_tracklore_that_builds(home: Path, tmp_path: Path) -> None:
    work = tmp_path / "opt"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    work.mkdir()
    environment = {**os.environ, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(home)}
    environment.pop("PYTHONPATH", None)
    for name, words in steps(ROOT / "Dockerfile"):
        if name == "COPY":
            *sources, target = words.split()
            for source in sources:
                place = work / target if target != "./" else work / source
                (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place)
        elif name == "RUN":
            subprocess.run(["bash", "-c", words], cwd=work, env=environment, check=True)
        else:
            assert name in ("FROM", "WORKDIR", "ENTRYPOINT"), name
    made = [str(home / "bin/tracklore"), "build", "demo", "--out", "data", "--set", "source.artists=6"]
    made += ["--set", "source.tracks=12", "--set", "tags.min_tracks=1", "--workers", "1"]
    subprocess.run(made, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "data/receipt.json").exists()
