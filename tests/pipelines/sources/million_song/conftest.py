"""A folder of files as published, and the source that reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.million_song import MillionSong, MillionSongSettings
from tests.pipelines.sources.million_song.files import (
    Folder,
    Read,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "msd")


@pytest.fixture
def source(folder: Folder, context: SourceContext) -> Callable[..., MillionSong]:
    def make(path: str | None = None, **keys: Any) -> MillionSong:
        settings = MillionSongSettings(kind="million_song", path=path or str(folder.path), **keys)
        return MillionSong(settings, context)

    return make


@pytest.fixture
def read(source: Callable[..., MillionSong]) -> Read:
    return lambda path=None, **keys: source(path, **keys).read()
