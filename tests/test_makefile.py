"""What `make` would do, asked with `make -n`: nothing is fetched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JARS = ("tests/engines/pom.xml", "tests/engines/job_server_jar.py")
SOURCES = ("Makefile", "pyproject.toml", "requirements.lock", "requirements-uv.lock", *JARS)
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@needs_make
@pytest.mark.parametrize(
    ("changed", "fetched"),
    [
        ("FLINK_VERSION=1.20", {"flink"}),
        ("BEAM_JAVA_VERSION=2.77.0", {"flink"}),
        ("PRISM_VERSION=v2.76.0", {"prism"}),
        ("FLINK_VERSION=1.19", set()),
    ],
)
def test_engines_of_another_version_are_fetched_anew(tmp_path: Path, changed: str, fetched: set[str]) -> None:
    for name in SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    for folder in (".venv", ".engines/flink", ".engines/worker"):
        (tmp_path / folder).mkdir(parents=True)

    def make(*words: str) -> str:
        ran = subprocess.run(["make", *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return ran.stdout

    def would_fetch(*words: str) -> set[str]:
        told = make("-n", "engines", "FLINK_VERSION=1.19", *words)
        parts = {"flink": "dependency:copy-dependencies", "prism": "go install"}
        return {part for part, line in parts.items() if line in told}

    assert would_fetch() == {"flink", "prism"}
    make("--touch", "engines", "FLINK_VERSION=1.19")
    assert would_fetch() == set()
    assert would_fetch(changed) == fetched


@needs_make
def test_engines_leaves_out_neither_dataflow_nor_the_dockerfile() -> None:
    told = subprocess.run(["make", "-n", "engines"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in told.replace("\\\n", " ").splitlines() if "pytest" in line]
    words = line.split()
    assert "TRACKLORE_DOCKERFILE=1" in words
    for path in ("tests/engines", "tests/pipelines/dataflow", "tests/test_dockerfile.py"):
        assert path in words and (ROOT / path).exists(), path
