"""What was read or worked out before, kept outside of every dataset: recipes that share files read them once.

An entry is named by everything that its content depends on, digests of files and versions of code included, so none
is ever stale. It holds its own digest: one that is damaged, or was cut off, counts as missing and is made again. So
does one that whoever may write into the folder put there, where it is not of the shape that is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa

from schemas.cache_folder import cache_folder
from schemas.digests import canonical_json, digest_of
from schemas.errors import DataError
from schemas.locks import held
from schemas.store import FileInfo, Store

MOST_BYTES = 4 << 30
_FORMAT = 1
_FOLDER = "tables"
_LOCKS = "locks"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 8
# A writer of an entry takes minutes at most.
_ABANDONED_S = 24 * 3600.0
_LONGEST_WAIT_S = 600.0


@dataclass(frozen=True)
class Remembered:
    """One entry.

    Attributes:
        tables: by name; text may be dictionary-encoded.
        notes: what a person should know of how they came about.
    """

    tables: Mapping[str, pa.Table]
    notes: tuple[str, ...] = field(default=())


def remembered(
    kind: str,
    key: Any,
    tables: Collection[str],
    make: Callable[[], Remembered],
    *,
    still: Callable[[], bool] = lambda: True,
) -> Remembered:
    """What `make` gives, from an earlier time when there was one.

    Args:
        kind: what it is, for a person who looks into the folder.
        key: everything that the content depends on (JSON).
        tables: the names of all that `make` gives; an entry of others counts as missing.
        still: whether the key is still that of what it was made from; asked when it is made, and if not, nothing
            is kept.
    """
    store = Store(f"{cache_folder()}/{_FOLDER}")
    name = f"{kind}-{digest_of([_FORMAT, kind, key])[:40]}.arrow"
    found = _read(store, name, tables)
    if found is not None:
        return found
    # Another build that wants the same waits for this one, rather than do it as well.
    with held(f"{cache_folder()}/{_LOCKS}", name, _LONGEST_WAIT_S):
        found = _read(store, name, tables)
        if found is None:
            found = make()
            if still():
                _write(store, name, found)
        return found


def digest_of_table(table: pa.Table) -> str:
    """Equal for equal tables of equal pieces."""
    hashed = _Hashed()
    with pa.ipc.new_stream(pa.PythonFile(hashed, "w"), table.schema) as writer:
        writer.write_table(table)
    return hashed.digest().hex()


def _read(store: Store, name: str, expected: Collection[str]) -> Remembered | None:
    path = store.local_path(name)
    try:
        whole = pa.memory_map(str(path)).read_buffer() if path is not None else pa.py_buffer(store.read_bytes(name))
        end = len(whole) - _DIGEST_BYTES
        if end < _LENGTH_BYTES or hashlib.sha256(memoryview(whole)[:end]).digest() != whole[end:].to_pybytes():
            return None
        begin = _LENGTH_BYTES + int.from_bytes(whole[:_LENGTH_BYTES].to_pybytes(), "big")
        head = json.loads(whole[_LENGTH_BYTES:begin].to_pybytes())
        names, notes = head["tables"], head["notes"]
        if sorted(names) != sorted(expected) or not all(isinstance(note, str) for note in notes):
            return None
        stream = pa.BufferReader(whole[begin:end])
        tables = {name: pa.ipc.open_stream(stream).read_all() for name in names}
        for table in tables.values():
            table.validate(full=True)  # offsets that lead out of the file would end the process
    except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException):
        return None
    if path is not None:
        with contextlib.suppress(OSError):
            os.utime(path)  # what was of use last is deleted last
    return Remembered(tables, tuple(notes))


def _write(store: Store, name: str, entry: Remembered) -> None:
    head = canonical_json({"tables": list(entry.tables), "notes": entry.notes}).encode("utf-8", "surrogatepass")
    try:
        with store.writing(name) as stream:
            hashed = _Hashed(stream)
            hashed.write(len(head).to_bytes(_LENGTH_BYTES, "big") + head)
            for table in entry.tables.values():
                options = pa.ipc.IpcWriteOptions(compression="lz4", unify_dictionaries=True)
                with pa.ipc.new_stream(pa.PythonFile(hashed, "w"), table.schema, options=options) as writer:
                    writer.write_table(table)
            stream.write(hashed.digest())
        _make_room(store)
    except (OSError, DataError):  # a read-only home, or a full one: the next build reads again
        return


class _Hashed:
    """A stream that knows the digest of what went through it, on to another stream if there is one."""

    closed = False

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream
        self._state = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self._state.update(data)
        return len(data) if self._stream is None else self._stream.write(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def digest(self) -> bytes:
        """Of all bytes so far."""
        return self._state.digest()


def _make_room(store: Store) -> None:
    """Delete what was of use the longest ago, until the rest is no more than `MOST_BYTES`; and what killed writers
    left behind."""
    store.remove_temporaries(_ABANDONED_S)
    files = [file for file in store.list() if _last_use(file) is not None]
    total = sum(file.bytes for file in files)
    for file in sorted(files, key=lambda file: (_last_use(file) or 0, file.path)):
        if total <= MOST_BYTES:
            return
        store.remove(file.path)
        total -= file.bytes


def _last_use(file: FileInfo) -> int | None:
    """In ns; None of what is gone since it was listed, or is none of our files: a link to a folder."""
    return int(file.stamp) if file.stamp.removeprefix("-").isdecimal() else None
