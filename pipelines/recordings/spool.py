"""Fingerprints beside memory: written to scratch on this machine's disk, and read from there part by part."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from schemas.errors import DataError

_ITEM = np.dtype(np.uint32).itemsize
_PIECE_HASHES = 4_000_000


class Frames(Protocol):
    """uint32 (frames of all tracks,), of which a part can be had; an array is one, and so is a `Spool`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> npt.NDArray[np.uint32]: ...


class Spool:
    """Hashes in a file that nothing else sees and that goes with the process, whatever ends it."""

    def __init__(self) -> None:
        # Unbuffered, for it is read by place.
        self._file = tempfile.TemporaryFile(prefix="tracklore-", buffering=0)  # noqa: SIM115 - `__exit__` closes it
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice, /) -> npt.NDArray[np.uint32]:
        low, high, _ = part.indices(self._count)
        found = np.empty(max(0, high - low), np.uint32)
        left, place = found.data.cast("B") if len(found) else memoryview(b""), low * _ITEM
        while len(left):
            # A read gives two gigabytes at most.
            got = os.preadv(self._file.fileno(), [left], place)
            if not got:
                raise OSError(errno.EIO, "scratch for fingerprints was cut off", tempfile.gettempdir())
            left, place = left[got:], place + got
        return found

    def append(self, hashes: npt.NDArray[np.uint32]) -> None:
        """Add hashes behind the others.

        Raises:
            DataError: there is no room for them.
        """
        left = np.ascontiguousarray(hashes).data.cast("B") if len(hashes) else memoryview(b"")
        try:
            while len(left):
                left = left[self._file.write(left) :]
        except OSError as error:
            raise DataError(
                f"{tempfile.gettempdir()}: no fingerprints could be put there ({os.strerror(error.errno or 0)}); "
                "name a folder in TMPDIR with room for twice their bytes, and more where tracks are alike"
            ) from error
        self._count += len(hashes)

    def reordered(self, parts: Iterable[tuple[int, int]]) -> Spool:
        """Another one with these parts (first hash, hash after the last) one after the other."""
        made = Spool()
        try:
            pieces: list[npt.NDArray[np.uint32]] = []
            held = 0
            for low, high in parts:
                pieces.append(self[low:high])
                held += high - low
                if held >= _PIECE_HASHES:
                    made.append(np.concatenate(pieces))
                    pieces, held = [], 0
            if pieces:
                made.append(np.concatenate(pieces))
        except BaseException:
            made._file.close()
            raise
        return made
