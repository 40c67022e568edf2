"""A training in two processes that a store fails, run as a program: spawned processes import it again."""

from __future__ import annotations

import errno
import sys
from typing import Any

from schemas.errors import StoreFailedError
from train.loop.launch import launched
from train.recipe import MachineSection


def work(fabric: Any, place: str) -> None:
    raise StoreFailedError(errno.EIO, "the store did not do what was asked: a 'reset', by its peer", place or None)


if __name__ == "__main__":
    try:
        launched(MachineSection(accelerator="cpu", devices=2, threads=1), work, sys.argv[1])
    except StoreFailedError as error:
        print(repr((error.errno == errno.EIO, error.strerror, error.filename)))
