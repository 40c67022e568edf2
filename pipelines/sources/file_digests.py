"""Digests of a source's files, remembered outside the dataset until a file's size or time changes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from schemas.digests import canonical_json, digest_of
from schemas.store import FileInfo, Store


def digests_of(store: Store, paths: Sequence[str], *, trust_stamps: bool = True) -> dict[str, str]:
    """SHA-256 of each file's content, by path.

    Args:
        trust_stamps: take a file whose size and time are as they were as unchanged.
    """
    memory, name = _memory_of(store)
    known = _recall(memory, name) if trust_stamps and store.is_shared else {}
    infos = [store.info(path) for path in paths]
    found = {info.path: known.get(_key(info)) or store.sha256(info.path) for info in infos}
    kept = {**known, **{_key(info): found[info.path] for info in infos}}
    if store.is_shared and kept != known:
        try:
            memory.write_text(name, canonical_json(kept))
        except OSError:  # a read-only home: the next build reads again
            return found
    return found


def _memory_of(store: Store) -> tuple[Store, str]:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~").expanduser() / ".cache")
    root = str(Path(store.root).resolve()) if store.is_local else store.root
    return Store(f"{base}/tracklore/digests"), f"{digest_of(root)[:32]}.json"


def _recall(memory: Store, name: str) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text(name))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _key(info: FileInfo) -> str:
    return f"{info.path}\n{info.bytes}\n{info.stamp}"
