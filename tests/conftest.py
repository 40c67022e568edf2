"""Fixtures for every test: the command line in this process, and caches that no other run sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

import tracklore

# A test on a busy machine is slow, not wrong.
settings.register_profile("tracklore", deadline=None)
settings.load_profile("tracklore")


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `tracklore` with the given words, as typed."""

    def run(*words: str | Path) -> Ran:
        capsys.readouterr()
        try:
            tracklore.main([str(word) for word in words])
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
