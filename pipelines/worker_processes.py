"""The worker processes that Beam's own runner starts on this machine."""

from __future__ import annotations

import shlex
import sys
from typing import Any

MODULE = "apache_beam.runners.worker.sdk_worker_main"
"""As Beam calls what they run."""

# Ctrl-C is for the build, which ends its workers: they would print tracebacks. A shell passes on what it ignores.
COMMAND = f"trap '' INT; exec {shlex.quote(sys.executable)} -m {MODULE}"


def leave_interrupts_to_the_build(runner: Any) -> None:
    """Have the runner, where it is one that starts processes, start them so that they ignore interrupts."""
    from apache_beam.portability import python_urns
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    if not isinstance(runner, FnApiRunner):
        return
    run = runner.run_via_runner_api

    def with_such_workers(pipeline: Any, options: Any) -> Any:
        for environment in pipeline.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = COMMAND.encode()
        return run(pipeline, options)

    runner.run_via_runner_api = with_such_workers
