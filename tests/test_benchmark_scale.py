"""`python -m benchmarks.scale` as it is typed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import scale

STEPS = ("split", "plan_shards", "receipt", "looks", "first_look", "source")


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The steps that are run in processes of their own, each with its folder's name; no table is made."""
    seen: list[tuple[str, str]] = []

    def run(command: Sequence[str], **_: Any) -> Any:
        seen.append((command[-2], Path(command[-1]).name))
        return SimpleNamespace(stdout="{}", stderr="")

    monkeypatch.setattr(scale, "WORK", tmp_path)
    monkeypatch.setattr(scale, "tables", lambda *_, **__: None)
    monkeypatch.setattr(subprocess, "run", run)
    return seen


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ([], [(step, "1000000") for step in STEPS]),
        (["500,70", "receipt"], [("receipt", "500"), ("receipt", "70")]),
    ],
)
def test_words_say_how_many_tracks_and_which_steps(
    ran: list[tuple[str, str]], words: list[str], steps: list[tuple[str, str]]
) -> None:
    assert scale.main(words) == 0
    assert ran == steps


@pytest.mark.parametrize("words", [["--help"], ["many"], ["500", "receipts"], ["0"], ["500,"], ["split"]])
def test_other_words_are_told_how_to_write_them(
    ran: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert scale.main(words) == 2
    assert capsys.readouterr().err.startswith("usage: python -m benchmarks.scale [TRACKS")
    assert ran == []
