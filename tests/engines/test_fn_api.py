"""The default engine in each of its ways to run."""

from __future__ import annotations

import apache_beam
import pytest

from tests.engines.conftest import Trial

WAYS = {
    "in memory": (1, ()),
    "threads": (2, ()),
    "processes": (2, ("--direct_running_mode=multi_processing",)),
    "each bundle twice": (2, ("--direct_runner_bundle_repeat=1",)),
}


@pytest.mark.parametrize("way", WAYS)
def test_fn_api_runner(trial: Trial, way: str) -> None:
    workers, flags = WAYS[way]
    trial.begin("FnApiRunner", apache_beam.__version__, way, "--runner", "FnApiRunner", *flags, workers=workers)
    trial.finish()
