"""The PTransform that runs tasks. Nothing but task numbers moves through it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines.tasks import TaskSet, run_one
from schemas.store import Store


class _RunTask(beam.DoFn):  # type: ignore[misc]
    """Runs one task a number; a bundle that the engine repeats finds the same file and writes it again."""

    def __init__(self, tasks: TaskSet, out: Store, threads: int) -> None:
        # The tasks themselves stay in their file: the graph carries no list.
        self._tasks = TaskSet(tasks.label, tasks.function, (), tasks.shared)
        self._out = out
        self._threads = threads
        self._entered = Metrics.counter(tasks.label, "entered")
        self._left = Metrics.counter(tasks.label, "done")
        self._seconds = Metrics.distribution(tasks.label, "milliseconds")

    def process(self, number: int) -> Iterator[str]:
        started = time.monotonic()
        self._entered.inc()
        yield run_one(self._tasks, number, self._out, self._threads)
        self._left.inc()
        self._seconds.update(int(1000 * (time.monotonic() - started)))


class RunTasks(beam.PTransform):  # type: ignore[misc]
    """Number the pending tasks, spread the numbers over the workers, run each."""

    def __init__(self, tasks: TaskSet, pending: int, out: Store, threads: int) -> None:
        super().__init__()
        if pending < 1:
            raise ValueError(f"{tasks.label}: no task to run")
        self._pending = pending
        self._run = _RunTask(tasks, out, threads)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "Count" >> beam.Create([self._pending])
            | "Number" >> beam.FlatMap(_numbers)
            | "Spread" >> beam.Reshuffle()
            | "Run" >> beam.ParDo(self._run)
        )


def _numbers(count: int) -> list[int]:
    return list(range(count))
