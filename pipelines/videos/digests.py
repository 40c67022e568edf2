"""Digests of videos: read here where they lie on this machine, and else by the engine's workers.

Only what is remembered of a file of the same size and time is not read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipelines.progress import counter
from pipelines.sources.file_digests import digests_of_listed
from pipelines.stage import BuildContext
from pipelines.task_runner import forget_tasks, run_tasks
from pipelines.tasks import Task, TaskContext, TaskSet
from schemas.digests import digest_of
from schemas.plain import last_line
from schemas.store import FileInfo, Store

LABEL = "videos.digests"
FILES_PER_TASK = 64
REMOTE_AT_ONCE = 4
"""A file in work holds a part of it in memory."""


def digests_of_videos(
    context: BuildContext, store: Store, infos: Sequence[FileInfo]
) -> tuple[dict[str, str], dict[str, str]]:
    """SHA-256 of each file by path; and of those that cannot be read, why.

    Of a dry run, what a remote file would have to be read for counts as changed.
    """
    failed: dict[str, str] = {}

    def read_here(unknown: Sequence[FileInfo]) -> dict[str, str]:
        return _sorted_out([_read(store, info.path) for info in unknown], failed)

    def read_by_workers(unknown: Sequence[FileInfo]) -> dict[str, str]:
        return _sorted_out(_read_by_workers(context, store, unknown), failed)

    if store.is_local:
        return digests_of_listed(store, infos, read_here, trust_stamps=not context.check), failed
    if not context.dry_run:
        return digests_of_listed(store, infos, read_by_workers, trust_stamps=not context.check), failed
    known = digests_of_listed(store, infos, lambda _: {}, trust_stamps=not context.check)
    return {info.path: known.get(info.path, f"not read yet: {info.bytes} {info.stamp}") for info in infos}, failed


def digest_videos(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Read one task's files: [path, digest or None, why not] each."""
    store = Store(context.shared["root"])
    progress = counter(context.label)

    def one(path: str) -> list[str | None]:
        found = _read(store, path)
        progress.advance()
        return found

    with ThreadPoolExecutor(max(context.threads, REMOTE_AT_ONCE)) as pool:
        return {"files": list(pool.map(one, (path for path, _, _ in spec["files"])))}


def _read_by_workers(context: BuildContext, store: Store, unknown: Sequence[FileInfo]) -> list[list[str | None]]:
    tasks = []
    for start in range(0, len(unknown), FILES_PER_TASK):
        some = [[info.path, info.bytes, info.stamp] for info in unknown[start : start + FILES_PER_TASK]]
        digest = digest_of([store.root, some])
        tasks.append(Task(digest[:24], digest, {"files": some}, len(some)))
    work = TaskSet(LABEL, "pipelines.videos.digests:digest_videos", tasks, {"root": store.root})
    results = run_tasks(work, context.out, context.engine, context.reporter)
    forget_tasks(LABEL, context.out)
    return [file for result in results.values() for file in result["files"]]


def _read(store: Store, path: str) -> list[str | None]:
    try:
        return [path, store.sha256(path), None]
    except Exception as error:  # clients of stores raise errors of kinds of their own
        return [path, None, last_line(getattr(error, "strerror", None) or error)]


def _sorted_out(files: Sequence[Sequence[str | None]], failed: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, digest, why in files:
        if path is not None and digest is not None:
            found[path] = digest
        elif path is not None:
            failed[path] = str(why)
    return found
