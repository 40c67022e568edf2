"""Runs benchmarks, prints one table, writes their rows to results.json; exit 1 when a goal is missed."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.result import Result

RESULTS = Path(__file__).with_name("results.json")


def modules(wanted: list[str]) -> list[str]:
    """The benchmarks, by name: modules that have a `run`."""
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    found = [name for name in names if name != "__main__" and _has_run(name)]
    return [name for name in found if not wanted or name in wanted]


def _has_run(name: str) -> bool:
    file = Path(__file__).with_name(f"{name}.py")
    return file.exists() and "\ndef run() -> list[Result]:" in file.read_text("utf-8")


def merged(before: Iterable[dict[str, Any]], now: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows sorted by name and peer; of the same name and peer the newer one."""
    rows = {(row["name"], row["peer"]): row for row in (*before, *now)}
    return [rows[key] for key in sorted(rows)]


def main() -> int:
    """Run those named on the command line, or all."""
    console = Console()
    results: list[Result] = []
    for name in modules(sys.argv[1:]):
        started = time.monotonic()
        console.print(f"benchmarks/{name}.py …")
        results.extend(importlib.import_module(f"benchmarks.{name}").run())
        console.print(f"  {time.monotonic() - started:.0f} s")
    table = Table(box=None, pad_edge=False)
    for column in ("name", "peer", "ours", "theirs", "unit", "ratio", "goal", ""):
        table.add_column(column, justify="left" if column in ("name", "peer", "unit") else "right")
    for row in results:
        reached = "ok" if row.ratio >= row.goal else "MISSED"
        cells = (f"{row.ours:,.1f}", f"{row.theirs:,.1f}", row.unit, f"{row.ratio:.2f}", f"{row.goal:g}", reached)
        table.add_row(row.name, row.peer, *cells)
    console.print(table)
    before = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
    RESULTS.write_text(json.dumps(merged(before, [row.row() for row in results]), indent=2) + "\n", "utf-8")
    return 0 if all(row.ratio >= row.goal for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
