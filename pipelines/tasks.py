"""Tasks: how a stage's pure functions run on any Beam engine, survive a kill, and lose nothing.

A stage plans its work as tasks, each a small JSON value with an id and a digest. A task's function writes its
own output file and returns a small JSON result, which is written beside the dataset as soon as the task is done.
Only task numbers travel through the engine: no audio and no table goes through a shuffle, and a build that was
killed finds the results of what it had finished.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engine import Engine, run
from pipelines.progress import Reporter
from schemas.digests import canonical_json
from schemas.errors import DataError, TrackloreError, UsageError
from schemas.store import Store

if TYPE_CHECKING:
    import apache_beam as beam

WORK_FOLDER = ".work"
TaskFunction = Callable[["TaskContext", dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class TaskContext:
    """What a task's function is given beside its task.

    Attributes:
        out: the dataset directory.
        shared: what all tasks of the stage have in common.
        threads: how many threads this task may use.
        label: the stage, for `pipelines.progress.counter`.
    """

    out: Store
    shared: dict[str, Any]
    threads: int
    label: str


@dataclass(frozen=True)
class Task:
    """One unit of work.

    Attributes:
        id: unique in the stage, fit for a file name.
        digest: of everything that its output depends on.
        spec: JSON that the function reads.
        items: how far finishing it moves the progress.
    """

    id: str
    digest: str
    spec: dict[str, Any]
    items: int = 1


@dataclass(frozen=True)
class TaskSet:
    """The tasks of one stage. `function` is `package.module:name` of a `TaskFunction`."""

    label: str
    function: str
    tasks: Sequence[Task]
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where specs and results lie until the stage commits."""
        return f"{WORK_FOLDER}/{self.label}"


def run_tasks(tasks: TaskSet, out: Store, engine: Engine, reporter: Reporter) -> dict[str, dict[str, Any]]:
    """Run what is not done yet; return every task's result by id.

    Raises:
        TrackloreError: a task ended in one (the first is raised), or the engine failed.
    """
    results = {task.id: found for task in tasks.tasks if (found := _result(tasks, task, out)) is not None}
    pending = [task for task in tasks.tasks if task.id not in results]
    if not pending:
        return results
    if not engine.is_local and not out.is_shared:
        raise UsageError(f"{out.root}: {engine.runner} runs in other processes, which cannot see this store")
    _write_specs(tasks, pending, out)
    total = sum(task.items for task in tasks.tasks)
    with reporter.counting(tasks.label, total) as progress:
        progress.advance(total - sum(task.items for task in pending))

        def wire(pipeline: beam.Pipeline) -> None:
            from pipelines.task_transform import RunTasks

            pipeline | tasks.label >> RunTasks(tasks, len(pending), out, engine.threads)

        run(engine, wire, progress, tasks.label)
    for task in pending:
        found = _result(tasks, task, out)
        if found is None:
            raise DataError(f"{tasks.label}: the engine ended without task {task.id}; build again to go on")
        if "error" in found:
            out.remove(f"{tasks.folder}/{task.id}.json")
            raise (UsageError if found["exit_code"] == 2 else DataError)(str(found["error"]))
        results[task.id] = found
    return results


def forget_tasks(label: str, out: Store) -> None:
    """Delete a stage's specs and results; its output is committed."""
    for info in out.list(f"{WORK_FOLDER}/{label}"):
        out.remove(info.path)


def run_one(tasks: TaskSet, number: int, out: Store, threads: int) -> str:
    """Run the pending task of that number and write its result; called on a worker."""
    spec = _read_spec(tasks.folder, number, out)
    context = TaskContext(out, tasks.shared, threads, tasks.label)
    try:
        result = _function(tasks.function)(context, spec["spec"])
    except TrackloreError as error:
        # Errors of ours are told as such; an engine would wrap them in its own traceback.
        result = {"error": str(error), "exit_code": error.exit_code}
    out.write_text(f"{tasks.folder}/{spec['id']}.json", canonical_json({**result, "digest": spec["digest"]}))
    return str(spec["id"])


def _result(tasks: TaskSet, task: Task, out: Store) -> dict[str, Any] | None:
    try:
        result: dict[str, Any] = json.loads(out.read_text(f"{tasks.folder}/{task.id}.json"))
    except (FileNotFoundError, ValueError):
        return None
    return result if result.get("digest") == task.digest else None


def _write_specs(tasks: TaskSet, pending: Sequence[Task], out: Store) -> None:
    """One row group a task, so that a worker reads its own and no more."""
    rows = [canonical_json({"id": task.id, "digest": task.digest, "spec": task.spec}) for task in pending]
    with out.writing(f"{tasks.folder}/tasks.parquet") as stream:
        pq.write_table(pa.table({"task": pa.array(rows, pa.large_string())}), stream, row_group_size=1)


def _read_spec(folder: str, number: int, out: Store) -> dict[str, Any]:
    with out.open(f"{folder}/tasks.parquet") as stream:
        spec: dict[str, Any] = json.loads(pq.ParquetFile(stream).read_row_group(number).column("task")[0].as_py())
    return spec


def _function(name: str) -> TaskFunction:
    module, _, attribute = name.partition(":")
    found: TaskFunction = getattr(importlib.import_module(module), attribute)
    return found
