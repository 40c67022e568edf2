"""Prism, Beam's runner in Go, from where it was built."""

from __future__ import annotations

import subprocess

import apache_beam

from tests.engines.conftest import Trial
from tests.engines.services import PRISM


def prism() -> tuple[str, list[str]]:
    """Its version, which must be Beam's own, and a build's flags for it."""
    told = subprocess.run(["go", "version", "-m", str(PRISM)], capture_output=True, text=True, check=True).stdout
    version = next(line.split()[2] for line in told.splitlines() if line.strip().startswith("mod")).removeprefix(
        "v"
    )
    assert version == apache_beam.__version__, "another Prism than Beam's; delete .engines/prism and make it again"
    return version, ["--runner", "PrismRunner", f"--prism_location={PRISM}"]


def test_prism(trial: Trial) -> None:
    version, flags = prism()
    trial.begin("Prism", version, "workers in the driver", *flags)
    trial.finish()


def test_prism_with_music_videos(videos_trial: Trial) -> None:
    version, flags = prism()
    videos_trial.begin("Prism", version, "music videos; workers in the driver", *flags)
    videos_trial.finish()
