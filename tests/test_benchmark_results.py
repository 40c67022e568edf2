"""Running one benchmark leaves what others measured."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.result import Result


def run(monkeypatch: pytest.MonkeyPatch, *rows: Result) -> int:
    monkeypatch.setattr(benchmarks, "modules", lambda wanted: wanted)
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(run=lambda: list(rows)))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "some"])
    return benchmarks.main()


def test_rows_of_what_was_not_run_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    monkeypatch.setattr(benchmarks, "RESULTS", path)

    def seen() -> list[tuple[str, str, float]]:
        return [(row["name"], row["peer"], row["ours"]) for row in json.loads(path.read_text("utf-8"))]

    assert run(monkeypatch, Result("b", "x", 1.0, 1.0, 1.0, "u"), Result("b", "w", 2.0, 1.0, 1.0, "u")) == 0
    assert run(monkeypatch, Result("a", "x", 3.0, 1.0, 1.0, "u")) == 0
    assert seen() == [("a", "x", 3.0), ("b", "w", 2.0), ("b", "x", 1.0)]
    assert run(monkeypatch, Result("b", "x", 0.5, 1.0, 1.0, "u")) == 1
    assert seen() == [("a", "x", 3.0), ("b", "w", 2.0), ("b", "x", 0.5)]
