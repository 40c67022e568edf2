"""Probing many files: through the engine, once a file, remembered outside the dataset until the file changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.dataflow import require_visible
from pipelines.progress import counter
from pipelines.sources.base import SourceContext
from pipelines.sources.probe import PROBE_VERSION, Probe, probe
from pipelines.task_runner import forget_tasks, run_tasks
from pipelines.tasks import Task, TaskContext, TaskSet
from schemas.cache_folder import cache_folder
from schemas.digests import canonical_json, digest_of
from schemas.errors import DataError
from schemas.reasons import Reason
from schemas.store import FileInfo, Store

FILES_PER_TASK = 256
REMOTE_AT_ONCE = 16
LABEL = "source"


def probe_files(context: SourceContext, store: Store, files: Sequence[FileInfo]) -> dict[str, Probe]:
    """Probe every file, or remember what was found when its size and time were the same."""
    remembered = _Memory(store)
    found = remembered.recall(files) if context.trust_stamps else {}
    missing = [info for info in files if info.path not in found]
    if missing and context.dry_run:
        found.update({info.path: Probe(f"not read yet: {info.bytes} {info.stamp}", "") for info in missing})
    elif missing:
        require_visible(context.engine, store, "source.path")
        tasks = []
        for start in range(0, len(missing), FILES_PER_TASK):
            chunk = [[i.path, i.bytes, i.stamp] for i in missing[start : start + FILES_PER_TASK]]
            digest = digest_of([PROBE_VERSION, store.root, chunk])
            tasks.append(Task(digest[:24], digest, {"files": chunk}, len(chunk)))
        work = TaskSet(LABEL, "pipelines.sources.inventory:probe_chunk", tasks, {"root": store.root})
        for result in run_tasks(work, context.out, context.engine, context.reporter).values():
            found.update({path: Probe.of_json(value) for path, value in result["probes"]})
        remembered.keep(files, found)
        forget_tasks(LABEL, context.out)
    return found


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
        return {"probes": list(pool.map(one, (path for path, _, _ in spec["files"])))}


class _Memory:
    """What was found in a folder before, by path, size and time. Losing it costs a second look, no more."""

    def __init__(self, store: Store) -> None:
        key = digest_of([PROBE_VERSION, str(Path(store.root).resolve()) if store.is_local else store.root])
        self._store = Store(f"{cache_folder()}/probes")
        self._file = f"{key[:32]}.parquet"
        self._usable = store.is_shared

    def recall(self, files: Iterable[FileInfo]) -> dict[str, Probe]:
        if not self._usable:
            return {}
        try:
            with self._store.open(self._file) as stream:
                table = pq.ParquetFile(stream).read()  # read_table would load the dataset machinery, and pandas
            known = dict(zip(table.column("key").to_pylist(), table.column("probe").to_pylist(), strict=True))
        except (OSError, pa.ArrowInvalid, KeyError):
            return {}
        keys = ((info.path, known.get(_key(info))) for info in files)
        return {path: Probe.of_json(json.loads(value)) for path, value in keys if value is not None}

    def keep(self, files: Iterable[FileInfo], found: dict[str, Probe]) -> None:
        if not self._usable:
            return
        told = ((info, found[info.path]) for info in files)
        # What took too long may take less next time.
        kept = [
            (_key(info), canonical_json(probe.as_json()))
            for info, probe in told
            if probe.sha256 and probe.reason != Reason.TIMED_OUT
        ]
        table = pa.table({"key": [key for key, _ in kept], "probe": [value for _, value in kept]})
        try:
            with self._store.writing(self._file) as stream:
                pq.write_table(table, stream, compression="zstd")
        except (OSError, DataError):  # a home that is read-only, or full: the next build looks again
            return


def _key(info: FileInfo) -> str:
    return f"{info.path}\n{info.bytes}\n{info.stamp}"
