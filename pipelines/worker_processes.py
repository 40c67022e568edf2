"""The worker processes that Beam's own runner starts on this machine."""

from __future__ import annotations

import itertools
import shlex
import sys
import threading
import time
from typing import Any

from pipelines.processes import end_those_that_run

# As Beam calls what they run.
_MODULE = "apache_beam.runners.worker.sdk_worker_main"
WAITING_THREAD = "run_worker"
"""And the threads that wait for them."""

_AGAIN_S = 0.2
# A thread that is begun starts its process well within that.
_BEGUN_S = 5.0
_LAST_WORDS_S = 2.0

_runs = itertools.count(1)


class WorkerProcesses:
    """Those of one run. They ignore interrupts: Ctrl-C is for the build, which ends them, and they would print
    tracebacks.

    Args:
        runner: that of the run; where it starts no processes, nothing is changed.
    """

    def __init__(self, runner: Any) -> None:
        from apache_beam.portability import python_urns
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        # The word behind it is for nobody but `end`, which must not meet those of the next run.
        self._words = f"{_MODULE}\0run-{next(_runs)}\0"
        if not isinstance(runner, FnApiRunner):
            return
        python, run = shlex.quote(sys.executable), runner.run_via_runner_api
        # A shell passes on what it ignores.
        command = f"trap '' INT; exec {python} -m {' '.join(self._words.split(chr(0))).strip()}"

        def with_such_workers(pipeline: Any, options: Any) -> Any:
            for environment in pipeline.components.environments.values():
                if environment.urn == python_urns.SUBPROCESS_SDK:
                    environment.payload = command.encode()
            return run(pipeline, options)

        runner.run_via_runner_api = with_such_workers

    def end(self, runs: threading.Thread) -> None:
        """Kill them, and every one that is still to be started: as long as one lives, this process could not end.

        Args:
            runs: the thread in which the runner works; it starts some when it comes to it.
        """

        def work() -> None:
            until = time.monotonic() + _BEGUN_S
            while runs.is_alive() or time.monotonic() < until:
                end_those_that_run(self._words)
                time.sleep(_AGAIN_S)

        end_those_that_run(self._words)
        threading.Thread(target=work, name="end-workers", daemon=True).start()
        for thread in threading.enumerate():
            if thread.name == WAITING_THREAD and thread.is_alive():
                thread.join(_LAST_WORDS_S)
