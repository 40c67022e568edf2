"""Where Google's clients are not installed, a build for Dataflow says which extra brings them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ABSENT = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "gcsfs" or name.startswith("google.cloud"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("gs://lake/data", "gs://lake/data: cannot reach this kind of store"),
        ("memory://lake/data", "--runner DataflowRunner: Google's clients are not installed"),
    ],
)
def test_it_is_one_line_with_the_way_out(tmp_path: Path, out: str, told: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    command = [sys.executable, "-m", "tracklore", "build", "demo", "--out", out, "--runner", "DataflowRunner"]
    given = ["--project=ours", "--region=here", "--temp_location=gs://lake/tmp"]
    ran = subprocess.run(
        [*command, *given],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert told in ran.stderr
    assert ran.stderr.endswith("install tracklore[gcp]\n")
