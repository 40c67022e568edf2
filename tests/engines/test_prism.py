"""Prism, Beam's runner in Go, from where it was built."""

from __future__ import annotations

import subprocess

import apache_beam

from tests.engines.conftest import Trial
from tests.engines.services import PRISM


def _version() -> str:
    told = subprocess.run(["go", "version", "-m", str(PRISM)], capture_output=True, text=True, check=True).stdout
    return next(line.split()[2] for line in told.splitlines() if line.strip().startswith("mod")).removeprefix("v")


def test_prism(trial: Trial) -> None:
    version = _version()
    assert version == apache_beam.__version__, "another Prism than Beam's; delete .engines/prism and make it again"
    trial.begin("Prism", version, "workers in the driver", "--runner", "PrismRunner", f"--prism_location={PRISM}")
    trial.finish()
