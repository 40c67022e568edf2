"""Folders that a manifest names: relative ones start from the manifest's own folder."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UsageError
from schemas.store import Store


def store_at(uri: str, base: Path | None, key: str) -> Store:
    """The store at a path that the manifest names under `key`.

    Args:
        base: the folder that relative paths start from; None for the working directory.

    Raises:
        UsageError: there is no such folder.
    """
    if "://" not in uri:
        path = Path(uri).expanduser()
        path = path if path.is_absolute() or base is None else base / path
        uri = str(path)
    store = Store(uri)
    if not store.root_exists():
        raise UsageError(f"{key}: {uri} is no folder; set it with --set {key}=DIR")
    return store
