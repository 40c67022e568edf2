"""Digests of a store's files, remembered outside of it until a file's size or time changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from schemas.cache_folder import cache_folder
from schemas.digests import canonical_json, digest_of
from schemas.errors import DataError
from schemas.store import FileInfo, Store


class RememberedDigests:
    """SHA-256 of files as they were found before. A memory that cannot be read or written only costs time.

    Args:
        trust: recall what was found before; otherwise begin anew.
    """

    def __init__(self, store: Store, *, trust: bool = True) -> None:
        root = str(Path(store.root).resolve()) if store.is_local else store.root
        self._lasting = store.is_shared
        self._memory, self._name = Store(f"{cache_folder()}/digests"), f"{digest_of(root)[:32]}.json"
        self._known = self._recalled() if trust and self._lasting else {}

    def of(self, info: FileInfo) -> str | None:
        """The digest of a file whose size and stamp are as they were; None where it is not known."""
        return self._known.get(_key(info))

    def keep(self, found: Mapping[FileInfo, str]) -> None:
        """Remember digests beside those that were recalled."""
        kept = {**self._known, **{_key(info): digest for info, digest in found.items()}}
        if not self._lasting or kept == self._known:
            return
        self._known = kept
        try:
            self._memory.write_text(self._name, canonical_json(kept))
        except (OSError, DataError):  # a read-only home, or a full one: the next time reads again
            return

    def _recalled(self) -> dict[str, str]:
        try:
            known = json.loads(self._memory.read_text(self._name))
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _key(info: FileInfo) -> str:
    return f"{info.path}\n{info.bytes}\n{info.stamp}"
