"""Digests of a source's files, remembered outside the dataset until a file's size or time changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipelines.progress import beat
from schemas.digests import digest_of
from schemas.file_digests import RememberedDigests
from schemas.store import FileInfo, Store


def digests_of(store: Store, paths: Sequence[str], *, trust_stamps: bool = True) -> dict[str, str]:
    """SHA-256 of each file's content, by path. A folder's is of the paths and digests of the files below it.

    Args:
        trust_stamps: take a file whose size and time are as they were as unchanged.
    """
    folders = {path: store.list(path) for path in paths if store.is_folder(path)}
    infos = [_folder_info(path, folders[path]) if path in folders else store.info(path) for path in paths]

    def read(unknown: Sequence[FileInfo]) -> dict[str, str]:
        return {info.path: _content_digest(store, info.path, folders.get(info.path)) for info in unknown}

    return digests_of_listed(store, infos, read, trust_stamps=trust_stamps)


def digests_of_listed(
    store: Store,
    infos: Sequence[FileInfo],
    read: Callable[[Sequence[FileInfo]], Mapping[str, str]],
    *,
    trust_stamps: bool = True,
) -> dict[str, str]:
    """The same of files that were listed.

    Args:
        read: gives the digests of those that are not remembered; without those that it cannot read.
    """
    memory = RememberedDigests(store, trust=trust_stamps)
    known = {info: memory.of(info) for info in infos}
    found = {info.path: digest for info, digest in known.items() if digest is not None}
    unknown = [info for info in infos if info.path not in found]
    if unknown:
        found.update(read(unknown))
    memory.keep({info: found[info.path] for info in infos if info.path in found})
    return found


def digest_now(store: Store, path: str) -> str:
    """The same of one file or folder, of what it holds now and whatever is remembered.

    Raises:
        OSError: it cannot be read.
    """
    return _content_digest(store, path, store.list(path) if store.is_folder(path) else None)


def _content_digest(store: Store, path: str, below: Sequence[FileInfo] | None) -> str:
    if below is None:
        return _digest(store, path)
    return digest_of([[file.path, _digest(store, file.path)] for file in below])


def _digest(store: Store, path: str) -> str:
    beat()
    return store.sha256(path)


def _folder_info(path: str, files: Sequence[FileInfo]) -> FileInfo:
    """A folder as one file: its stamp changes when any file below it may have changed."""
    stamp = digest_of([[file.path, file.bytes, file.stamp] for file in files])
    return FileInfo(path, sum(file.bytes for file in files), f"{len(files)} files {stamp}")
