"""An installed wheel is whole: manifests, rules, recipes and templates travel with the code."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    site = folder / "site"
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "tracklore", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_bare_names_work_from_anywhere(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()  # a folder of the user's own must not hide ours
    done = run(installed, tmp_path, "build", "demo", "--out", "data", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "features.ttmr" in done.stdout


def test_it_holds_what_the_code_reads_and_no_tests(installed: Path) -> None:
    held = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    shipped = ["manifests/*.yaml", "manifests/rules/*.yaml", "train/recipes/*.yaml", "pipelines/report/templates/*"]
    shipped += ["train/report/templates/*", "schemas/page/*"]
    found = (path for pattern in shipped for path in ROOT.glob(pattern) if path.is_file())
    wanted = {path.relative_to(ROOT).as_posix() for path in found}
    assert len(wanted) >= 8
    assert wanted <= held
    assert not [path for path in held if path.startswith(("tests/", "benchmarks/"))]
