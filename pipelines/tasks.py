"""Tasks: how a stage's pure functions run on any Beam engine, survive a kill, and lose nothing.

A stage plans its work as tasks, each a small JSON value with an id and a digest. A task's function writes its
own output file and returns a small JSON result, which is written beside the dataset as soon as the task is done.
Only task numbers travel through the engine: no audio and no table goes through a shuffle, and a build that was
killed finds the results of what it had finished.

An engine's job may outlive its build, and another build may be started meanwhile. So what a job reads lies in a
file of its own, named by what is in it; and what it makes is let in for as long as that file is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.digests import canonical_json, digest_of
from schemas.errors import DataError, TrackloreError
from schemas.store import Store

WORK_FOLDER = ".work"
_SPECS = "tasks-"
_DIGITS = 16
TaskFunction = Callable[["TaskContext", dict[str, Any]], dict[str, Any]]


class NotWantedError(Exception):
    """What a task makes is not wanted any more: its stage is over, or is made from something else."""


@dataclass(frozen=True)
class TaskContext:
    """What a task's function is given beside its task.

    Attributes:
        out: the dataset directory.
        shared: what all tasks of the stage have in common.
        threads: how many threads this task may use.
        label: the stage, for `pipelines.progress.counter`.
        specs: the file that the task was read from; empty for a task that is run by itself.
    """

    out: Store
    shared: dict[str, Any]
    threads: int
    label: str
    specs: str = ""

    def require_wanted(self) -> None:
        """To be asked before a file gets its name (`Store.writing`): it may have one of another build's by now.

        Raises:
            NotWantedError: the task's stage is over, or another build makes it from something else.
        """
        if self.specs and not self.out.exists(self.specs):
            raise NotWantedError(self.specs)


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
        stands: `package.module:name` of a function of the dataset directory and a result that says whether what
            the task wrote is there as the result tells; empty where tasks only give results.
        specs: where workers read the pending tasks, as `write_specs` says.
    """

    label: str
    function: str
    tasks: Sequence[Task]
    shared: dict[str, Any] = field(default_factory=dict)
    side_by_side: bool = False
    stands: str = ""
    specs: str = ""

    @property
    def folder(self) -> str:
        """Where specs and results lie until the stage commits."""
        return f"{WORK_FOLDER}/{self.label}"

    @property
    def _specs_of_this_work(self) -> str:
        """What the names of its files of specs begin with: other tasks of the same function, with the same in
        common, are the same work."""
        return f"{self.folder}/{_SPECS}{digest_of([self.function, self.shared])[:_DIGITS]}-"

    def specs_of(self, rows: Sequence[str]) -> str:
        """The file in which those tasks of it are written."""
        digest = hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self._specs_of_this_work}{digest[:_DIGITS]}.parquet"

    def specs_of_others(self, out: Store) -> list[str]:
        """The files of specs of jobs that do the stage's work otherwise."""
        found = [info.path for info in out.list(self.folder)]
        specs = [path for path in found if path.startswith(f"{self.folder}/{_SPECS}")]
        return [path for path in specs if not path.startswith(self._specs_of_this_work)]


def run_one(tasks: TaskSet, number: int, out: Store, threads: int) -> str:
    """Run the pending task of that number and write its result; called on a worker.

    An engine that lost a worker gives all of its work to another: what was finished is not done again.

    Args:
        tasks: as `write_specs` returned it.
    """
    spec = _read_spec(tasks, number, out)
    found = result_of(tasks, spec["id"], spec["digest"], out)
    if found is not None and "error" not in found:
        return str(spec["id"])
    context = TaskContext(out, tasks.shared, threads, tasks.label, tasks.specs)
    # A worker that its engine gave up, and that did not hear of it, may end when the stage is over.
    with contextlib.suppress(NotWantedError):
        try:
            result = _function(tasks.function)(context, spec["spec"])
        except TrackloreError as error:
            # Errors of ours are told as such; an engine would wrap them in its own traceback.
            result = {"error": str(error), "exit_code": error.exit_code}
        told = canonical_json({**result, "digest": spec["digest"]})
        out.write_text(f"{tasks.folder}/{spec['id']}.json", told, context.require_wanted)
    return str(spec["id"])


def result_of(tasks: TaskSet, task_id: str, digest: str, out: Store) -> dict[str, Any] | None:
    """What a task of that digest left, or None when it has not ended or what it wrote is not there (any more)."""
    try:
        result: dict[str, Any] = json.loads(out.read_text(f"{tasks.folder}/{task_id}.json"))
    except (FileNotFoundError, ValueError):
        return None
    if result.get("digest") != digest:
        return None
    lost = tasks.stands and "error" not in result and not _function(tasks.stands)(out, result)
    return None if lost else result


def write_specs(tasks: TaskSet, pending: Sequence[Task], out: Store) -> TaskSet:
    """Write the pending tasks where workers read them; return what the workers are given.

    One row group a task, so that a worker reads its own and no more.
    """
    rows = [canonical_json({"id": task.id, "digest": task.digest, "spec": task.spec}) for task in pending]
    path = tasks.specs_of(rows)
    if not out.exists(path):
        with out.writing(path) as stream:
            pq.write_table(pa.table({"task": pa.array(rows, pa.large_string())}), stream, row_group_size=1)
    return replace(tasks, tasks=(), specs=path)


def _read_spec(tasks: TaskSet, number: int, out: Store) -> dict[str, Any]:
    try:
        with out.open(tasks.specs) as stream:
            row = pq.ParquetFile(stream).read_row_group(number)
    except FileNotFoundError as error:
        told = "is not there: this worker does not see the dataset, or another build has taken its place"
        raise DataError(f"{out.root}: {tasks.specs} {told}") from error
    spec: dict[str, Any] = json.loads(row.column("task")[0].as_py())
    return spec


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found
