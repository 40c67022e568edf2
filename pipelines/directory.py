"""Whose directory it is: refuses to write where other files lie, and where another build is at work."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipelines.build_lease import LEASE_FILE, leased
from pipelines.stage import shown
from pipelines.tasks import WORK_FOLDER
from schemas.errors import UsageError, fault_of_file
from schemas.receipt import RECEIPT_FILE, Receipt
from schemas.shards import read_shard_meta
from schemas.store import Store
from schemas.tables import TABLES

LOCK_FILE = ".lock"
MUSIC_FOLDER = "music"
CROISSANT_FILE = "metadata.json"
VIEWS = frozenset({"audit.json", "report.html", "README.md", CROISSANT_FILE})


def require_ours(out: Store, found: Receipt | None, name: str, where: str) -> None:
    """Refuse a directory that is not this dataset's.

    Raises:
        UsageError: it is a file, holds another dataset, or holds files that no build of ours left.
    """
    path = Path(out.full("x")).parent if out.is_local else None
    if path is not None and path.exists() and not path.is_dir():
        raise UsageError(f"{out.root}: is a file; give a directory as --out")
    if found is not None and found.name != name:
        raise UsageError(
            f"{out.root}: holds the dataset {found.name!r}, and {where} is {name!r}; "
            "give another --out, or delete the directory"
        )
    if found is None and out.root_exists():
        foreign = _foreign_files(out)
        if foreign:
            raise UsageError(
                f"{out.root}: is not empty and holds no dataset ({shown(foreign)}); give an empty --out"
            )


def _foreign_files(out: Store) -> list[str]:
    """What a build that was killed before its first receipt cannot have left, nor one whose receipt was deleted."""
    tables = {table.filename: table for table in TABLES.values()}
    views = VIEWS if _describes_a_dataset(out) else frozenset[str]()
    foreign = []
    for info in out.list():
        folder = info.path.partition("/")[0]
        if info.path in (LOCK_FILE, LEASE_FILE) or folder == WORK_FOLDER or info.path in views:
            continue
        if folder == MUSIC_FOLDER and out.exists(f"{MUSIC_FOLDER}/corpus.json"):
            continue
        if info.path in tables and tables[info.path].meta(out).get("table") == tables[info.path].name:
            continue
        if folder == "features" and read_shard_meta(out, info.path) is not None:
            continue
        foreign.append(info.path)
    return foreign


def _describes_a_dataset(out: Store) -> bool:
    """Whether there is a description of a dataset of ours, which is written behind its receipt."""
    try:
        content = json.loads(out.read_bytes(CROISSANT_FILE))
        return any(entry.get("@id") == RECEIPT_FILE for entry in content["distribution"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fault_of_file(error)
        return False


@contextmanager
def only_build(out: Store, *, dry_run: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Refuse to build where another build is at work; a local lock goes with its process, a store's by and by.

    Args:
        say: tells a person what is waited for.

    Raises:
        UsageError: another build holds the directory, or it cannot be written.
        DataError: another build took a store's directory over from this one, which stood still for long.
    """
    if dry_run:
        yield
        return
    if not out.is_local:
        with leased(out, say):
            yield
        return
    path = Path(out.full(LOCK_FILE))
    made = not path.parent.exists()
    try:
        handle = _locked(path)
    except OSError as error:
        raise UsageError(f"{out.root}: cannot be written ({error.strerror}); give another --out") from error
    if handle is None:
        raise UsageError(f"{out.root}: another build is at work here; wait for it to end")
    with handle:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            if made and not any(path.parent.iterdir()):
                path.parent.rmdir()  # nothing came of it


def _locked(path: Path) -> IO[str] | None:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return None
        # The build before may have deleted the file between our opening and our locking it.
        try:
            if os.fstat(handle.fileno()).st_ino == path.stat().st_ino:
                return handle
        except FileNotFoundError:
            pass
        handle.close()


def remove_work(out: Store) -> None:
    """Delete the folder of work in progress when nothing is in progress."""
    if not out.is_local or out.list(WORK_FOLDER):
        return
    for path, _, _ in sorted(os.walk(out.full(WORK_FOLDER)), reverse=True):
        Path(path).rmdir()
