"""What CI makes of the answers about the pinned packages: `.ci/audit`, with an asker of the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/audit"


def answer(*packages: Mapping[str, object]) -> str:
    return f"print({json.dumps(json.dumps({'dependencies': packages}))})"


SOUND = {"name": "one", "version": "1", "vulns": []}
AT_FAULT = {"name": "two", "version": "2", "vulns": [{"id": "GHSA-0000"}]}
UNKNOWN = {"name": "three", "skip_reason": "not found"}
UNREACHED = "import sys; sys.exit('requests.exceptions.ConnectionError: no such host')"


@pytest.mark.parametrize(
    ("asker", "code", "told"),
    [
        (answer(SOUND, UNKNOWN), 0, "1 of 2 pinned packages looked up, 0 at fault"),
        (answer(SOUND, AT_FAULT), 1, "two 2: GHSA-0000"),
        (answer(UNKNOWN), 0, "the pinned packages were not looked up"),
        (UNREACHED, 0, "the pinned packages were not looked up"),
        ("raise SystemExit('requirements.lock: line 3 has no hash')", 1, "line 3 has no hash"),
        ("print('all is well')", 1, "failed"),
    ],
)
def test_only_a_network_that_is_not_there_passes_unasked(tmp_path: Path, asker: str, code: int, told: str) -> None:
    (tmp_path / "pip_audit.py").write_text(asker)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == code, ran.stdout
    assert told in ran.stdout
