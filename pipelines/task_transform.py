"""The PTransform that runs tasks. Nothing but task numbers moves through it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines.tasks import TaskSet, run_one
from schemas.store import Store


class _RunTask(beam.DoFn):  # type: ignore[misc]
    """Runs a few tasks by their numbers; a bundle that the engine repeats finds the same files and writes them
    again."""

    def __init__(self, tasks: TaskSet, out: Store, threads: int) -> None:
        self._tasks = tasks
        self._out = out
        self._threads = threads
        self._entered = Metrics.counter(tasks.label, "entered")
        self._left = Metrics.counter(tasks.label, "done")
        self._seconds = Metrics.distribution(tasks.label, "milliseconds")

    def process(self, numbers: list[int]) -> Iterator[str]:
        self._entered.inc(len(numbers))
        threads = max(1, self._threads // len(numbers))
        with ThreadPoolExecutor(len(numbers)) as pool:
            for done, seconds in pool.map(lambda number: self._timed(number, threads), numbers):
                self._left.inc()
                self._seconds.update(int(1000 * seconds))
                yield done

    def _timed(self, number: int, threads: int) -> tuple[str, float]:
        started = time.monotonic()
        done = run_one(self._tasks, number, self._out, threads)
        return done, time.monotonic() - started


class RunTasks(beam.PTransform):  # type: ignore[misc]
    """Number the pending tasks, spread the numbers over the workers, run each.

    Args:
        tasks: as `write_specs` returned it. The tasks themselves stay in their file: the graph carries no list.
    """

    def __init__(self, tasks: TaskSet, pending: int, out: Store, threads: int) -> None:
        super().__init__()
        if pending < 1:
            raise ValueError(f"{tasks.label}: no task to run")
        self._pending = pending
        self._at_once = threads if tasks.side_by_side else 1
        self._run = _RunTask(tasks, out, threads)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "Count" >> beam.Create([(self._pending, self._at_once)])
            | "Number" >> beam.FlatMap(_numbers)
            | "Spread" >> beam.Reshuffle()
            | "Run" >> beam.ParDo(self._run)
        )


def _numbers(size: tuple[int, int]) -> list[list[int]]:
    count, at_once = size
    return [list(range(start, min(count, start + at_once))) for start in range(0, count, at_once)]
