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
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.digests import canonical_json
from schemas.errors import TrackloreError
from schemas.store import Store

WORK_FOLDER = ".work"
_SPECS = "tasks.parquet"
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
    """The tasks of one stage.

    Attributes:
        function: `package.module:name` of a `TaskFunction`.
        shared: what all tasks have in common.
        side_by_side: whether a worker's threads take a task each; else they work on one task together.
    """

    label: str
    function: str
    tasks: Sequence[Task]
    shared: dict[str, Any] = field(default_factory=dict)
    side_by_side: bool = False

    @property
    def folder(self) -> str:
        """Where specs and results lie until the stage commits."""
        return f"{WORK_FOLDER}/{self.label}"


def run_one(tasks: TaskSet, number: int, out: Store, threads: int) -> str:
    """Run the pending task of that number and write its result; called on a worker.

    An engine that lost a worker gives all of its work to another: what was finished is not done again.
    """
    spec = _read_spec(tasks.folder, number, out)
    found = result_of(tasks, spec["id"], spec["digest"], out)
    if found is not None and "error" not in found:
        return str(spec["id"])
    context = TaskContext(out, tasks.shared, threads, tasks.label)
    try:
        result = _function(tasks.function)(context, spec["spec"])
    except TrackloreError as error:
        # Errors of ours are told as such; an engine would wrap them in its own traceback.
        result = {"error": str(error), "exit_code": error.exit_code}
    # A worker that its engine gave up, and that did not hear of it, may end when the stage is over.
    if out.exists(f"{tasks.folder}/{_SPECS}"):
        out.write_text(f"{tasks.folder}/{spec['id']}.json", canonical_json({**result, "digest": spec["digest"]}))
    return str(spec["id"])


def result_of(tasks: TaskSet, task_id: str, digest: str, out: Store) -> dict[str, Any] | None:
    """What a task of that digest left, or None."""
    try:
        result: dict[str, Any] = json.loads(out.read_text(f"{tasks.folder}/{task_id}.json"))
    except (FileNotFoundError, ValueError):
        return None
    return result if result.get("digest") == digest else None


def write_specs(tasks: TaskSet, pending: Sequence[Task], out: Store) -> None:
    """One row group a task, so that a worker reads its own and no more."""
    rows = [canonical_json({"id": task.id, "digest": task.digest, "spec": task.spec}) for task in pending]
    with out.writing(f"{tasks.folder}/{_SPECS}") as stream:
        pq.write_table(pa.table({"task": pa.array(rows, pa.large_string())}), stream, row_group_size=1)


def _read_spec(folder: str, number: int, out: Store) -> dict[str, Any]:
    with out.open(f"{folder}/{_SPECS}") as stream:
        spec: dict[str, Any] = json.loads(pq.ParquetFile(stream).read_row_group(number).column("task")[0].as_py())
    return spec


def _function(name: str) -> TaskFunction:
    module, _, attribute = name.partition(":")
    found: TaskFunction = getattr(importlib.import_module(module), attribute)
    return found
