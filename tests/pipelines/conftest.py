"""A small demo dataset, built once, that tests copy and change."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import tracklore

SMALL = ("--set", "source.artists=6", "--set", "source.tracks=12", "--set", "tags.min_tracks=1")


@pytest.fixture(scope="session")
def small() -> Sequence[str]:
    """What makes the demo manifest small: 12 sound tracks by 6 artists, and the five broken files."""
    return SMALL


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small demo dataset, built with one worker. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("built") / "data"
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    with pytest.raises(SystemExit) as ended:
        tracklore.main(["build", "demo", "--out", str(out), "--workers", "1", *SMALL])
    patch.undo()
    assert not ended.value.code
    return out


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    """A copy of the small demo dataset to change."""
    out = tmp_path / "data"
    shutil.copytree(built, out)
    return out
