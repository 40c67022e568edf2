"""Probing many files: through the engine, once a file, remembered outside the dataset until the file changes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pyarrow as pa

from pipelines.dataflow import require_visible
from pipelines.progress import counter
from pipelines.sources.base import SourceContext
from pipelines.sources.probe import PROBE_VERSION, Probe, probe
from pipelines.sources.probe_memory import ProbeMemory
from pipelines.sources.probes import PROBES, in_parts, slices
from pipelines.task_runner import forget_tasks, run_tasks
from pipelines.tasks import Task, TaskContext, TaskSet
from schemas.digests import digest_of
from schemas.store import Store

FILES_PER_TASK = 256
REMOTE_AT_ONCE = 16
LABEL = "source"
_TASKS_AT_ONCE = 256


def probe_files(
    context: SourceContext, store: Store, files: pa.Table, before_look: Callable[[], object] = lambda: None
) -> pa.Table:
    """Probe every file, or remember what was found when its size and time were the same.

    Args:
        files: as `pipelines.sources.probes.FILES`, by path, each once.
        before_look: called once when there are files that nothing is remembered of.

    Returns:
        as `PROBES`, a row for each file, by path.
    """
    memory = ProbeMemory(store)
    found, missing = memory.recall(files) if context.trust_stamps else (PROBES.empty_table(), files)
    if not missing.num_rows:
        return found
    before_look()
    if context.dry_run:
        return _by_path(found, _not_read(missing))
    probes = _by_path(found, _looked_at(context, store, missing))
    memory.keep(files, probes)
    forget_tasks(LABEL, context.out)
    return probes


def probe_chunk(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Probe one task's files."""
    store = Store(context.shared["root"])
    progress = counter(context.label)

    def one(path: str) -> list[Any]:
        value = probe(store, path).as_json()
        progress.advance()
        return [path, value]

    # Of a file in an object store most of the time goes by between question and answer.
    at_once = context.threads if store.is_local else max(context.threads, REMOTE_AT_ONCE)
    with ThreadPoolExecutor(at_once) as pool:
        return {"probes": list(pool.map(one, spec["paths"]))}


def probe_tasks(store: Store, files: pa.Table) -> TaskSet:
    """The tasks of looking at files, as `FILES`, in their order."""
    tasks = []
    for start in range(0, files.num_rows, FILES_PER_TASK):
        columns = [column.to_pylist() for column in files.slice(start, FILES_PER_TASK).columns]
        digest = digest_of([PROBE_VERSION, store.root, list(map(list, zip(*columns, strict=True)))])
        tasks.append(Task(digest[:24], digest, {"paths": columns[0]}, len(columns[0])))
    return TaskSet(LABEL, "pipelines.sources.inventory:probe_chunk", tasks, {"root": store.root})


def _looked_at(context: SourceContext, store: Store, files: pa.Table) -> pa.Table:
    """As `PROBES`, what a look at each file finds, in their order."""
    require_visible(context.engine, store, "source.path")
    work = probe_tasks(store, files)
    results = run_tasks(work, context.out, context.engine, context.reporter, _as_columns)
    ids = iter([task.id for task in work.tasks])
    # Joined part by part, or all would be there twice.
    parts = iter(lambda: [results.pop(task)["probes"] for task in islice(ids, _TASKS_AT_ONCE)], [])
    return pa.concat_tables(pa.Table.from_batches(part, PROBES).combine_chunks() for part in parts)


def _as_columns(result: dict[str, Any]) -> dict[str, Any]:
    rows = [{"path": path, **value} for path, value in result["probes"]]
    return {"probes": pa.RecordBatch.from_pylist(rows, schema=PROBES)}


def _not_read(files: pa.Table) -> pa.Table:
    """As `PROBES`, for files that a plan does not look at: what is not known yet counts as changed."""
    return in_parts(
        (
            {"path": row["path"], **Probe(f"not read yet: {row['bytes']} {row['stamp']}", "").as_json()}
            for part in slices(files)
            for row in part.to_pylist()
        ),
        PROBES,
    )


def _by_path(*parts: pa.Table) -> pa.Table:
    """Tables that are ordered by path as one that is."""
    filled = [part for part in parts if part.num_rows]
    return filled[0] if len(filled) == 1 else pa.concat_tables(filled).sort_by("path")
