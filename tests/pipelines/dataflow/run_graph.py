"""Runs staged Dataflow graphs with Python in place of their container.

Reads a path a line, and answers each by `done` or by what went wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner


def run(path: Path) -> None:
    """Run it to its end.

    Raises:
        Exception: what the graph's own code raises.
    """
    graph = beam_runner_api_pb2.Pipeline.FromString(path.read_bytes())
    for environment in graph.components.environments.values():
        if environment.urn != common_urns.environments.DOCKER.urn:
            raise SystemExit(f"{environment.urn}: Dataflow runs containers only")
        environment.urn, environment.payload = python_urns.EMBEDDED_PYTHON, b""
    FnApiRunner().run_via_runner_api(graph, PipelineOptions([])).wait_until_finish()


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            run(Path(line.strip()))
            print("done", flush=True)
        except BaseException as error:
            print(" ".join(f"{type(error).__name__}: {error}".split()), flush=True)
