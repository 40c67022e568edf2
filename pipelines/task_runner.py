"""The driver's side of tasks: run on an engine what has no result yet, and gather the results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.dataflow import flags_of, is_dataflow
from pipelines.engine import Engine, WorkerDiedError, run
from pipelines.progress import Reporter
from pipelines.tasks import WORK_FOLDER, Task, TaskSet, result_of, write_specs
from pipelines.watch import limited_elsewhere
from schemas.errors import DataError, UsageError
from schemas.store import Store

if TYPE_CHECKING:
    import apache_beam as beam

WORKERS_MAY_DIE = 2
Result = dict[str, Any]
_known: dict[tuple[str, str], set[str]] = {}


def run_tasks(
    tasks: TaskSet, out: Store, engine: Engine, reporter: Reporter, reduced: Callable[[Result], Result] = dict
) -> dict[str, Result]:
    """Run what is not done yet; return every task's result by id.

    When a worker process dies, what it had not finished is run again, twice at most.

    Args:
        reduced: makes of a task's result what is returned of it; all results together may weigh much.

    Raises:
        TrackloreError: a task ended in one (the first is raised), or the engine failed.
    """
    for left in reversed(range(WORKERS_MAY_DIE + 1)):
        # A task that ended in an error before is run again: its cause may be gone.
        before = zip(tasks.tasks, _results(tasks, tasks.tasks, out, reduced), strict=True)
        results = {task.id: found for task, found in before if found is not None and "error" not in found}
        pending = [task for task in tasks.tasks if task.id not in results]
        if not pending:
            forget_other_work(tasks, out)
            _know(tasks, results, out)
            return results
        try:
            _run_pending(tasks, pending, out, engine, reporter)
            break
        except WorkerDiedError:
            if not left:
                raise
            out.remove_abandoned()
            reporter.say(f"{tasks.label}: a worker process ended in mid-run; what it had not finished is run again")
    for task, found in zip(pending, _results(tasks, pending, out, reduced), strict=True):
        if found is None:
            raise DataError(f"{tasks.label}: the engine ended without task {task.id}; build again to go on")
        if "error" in found:
            raise (UsageError if found["exit_code"] == 2 else DataError)(str(found["error"]))
        results[task.id] = found
    _know(tasks, results, out)
    return results


def _run_pending(tasks: TaskSet, pending: Sequence[Task], out: Store, engine: Engine, reporter: Reporter) -> None:
    if not engine.is_local and not out.is_shared:
        raise UsageError(f"{out.root}: {engine.runner} runs in other processes, which cannot see this store")
    submitted = write_specs(tasks, pending, out)
    _known.setdefault((out.root, tasks.label), set()).add(submitted.specs)
    total = sum(task.items for task in tasks.tasks)
    with reporter.counting(tasks.label, total) as progress:
        progress.advance(total - sum(task.items for task in pending))

        def wire(pipeline: beam.Pipeline) -> None:
            from pipelines.task_transform import RunTasks

            pipeline | tasks.label >> RunTasks(submitted, len(pending), out, engine.threads)

        items = {f"{tasks.folder}/{task.id}.json": task.items for task in tasks.tasks}

        def finished() -> int:
            return sum(items.get(info.path, 0) for info in out.list(tasks.folder))

        flags = flags_of(engine, tasks.label, out) if is_dataflow(engine.runner) else []

        def begun() -> None:
            forget_other_work(tasks, out)

        with limited_elsewhere():
            run(
                engine,
                wire,
                progress,
                tasks.label,
                finished,
                flags=flags,
                say=reporter.say,
                begun=begun,
                require_allowed=out.require_allowed,
            )
    forget_other_work(tasks, out)


def forget_tasks(label: str, out: Store) -> None:
    """Delete a stage's specs and results; its output is committed."""
    listed = {info.path for info in out.list(f"{WORK_FOLDER}/{label}")}
    _remove(sorted(listed | _known.pop((out.root, label), set())), out)


def _know(tasks: TaskSet, results: Mapping[str, Mapping[str, Any]], out: Store) -> None:
    """Remember what lies in the stage's folder until it is forgotten: the lists of some stores are late."""
    known = _known.setdefault((out.root, tasks.label), set())
    known.update(f"{tasks.folder}/{task_id}.json" for task_id in results)
    told = (value for result in results.values() for value in result.values() if isinstance(value, str))
    known.update(value for value in told if value.startswith(f"{tasks.folder}/"))


def forget_other_work(tasks: TaskSet, out: Store) -> None:
    """Delete the specs of jobs that do the stage's work otherwise, so that what they still make is let in no more.

    Not before there is a job in their place: the engine may refuse it, and theirs is not to be broken.
    """
    _remove(tasks.specs_of_others(out), out)


def forget_other_tasks(pending: Collection[str], out: Store) -> None:
    """Delete what builds that were killed while they forgot their tasks left, for all but the pending stages."""
    _remove([info.path for info in out.list(WORK_FOLDER) if info.path.split("/")[1] not in pending], out)


def _remove(paths: Sequence[str], out: Store) -> None:
    out.each(out.remove, paths)


def _results(
    tasks: TaskSet, wanted: Sequence[Task], out: Store, reduced: Callable[[Result], Result]
) -> Sequence[Result | None]:
    def one(task: Task) -> Result | None:
        found = result_of(tasks, task.id, task.digest, out)
        return found if found is None or "error" in found else reduced(found)

    return out.each(one, wanted)
