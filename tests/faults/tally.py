"""What became of each planted fault: counted by kind, printed, and written to `faults.json`.

A fault is `recovered` when the right bytes came in the end, `refused` when a clear line (or a row of exclusions)
told of it, and `wrong` otherwise. One that came too late for anything to be broken is `missed`, and is not among
those that were injected.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

_T = TypeVar("_T")

SHARE = float(os.environ.get("FAULTS") or 10) / 100
"""How much of the suite is run: all of it with FAULTS=100."""

OUTCOMES = ("recovered", "refused", "wrong")


def share_of(count: int) -> int:
    """So many of `count` in this run; at least one."""
    return max(1, round(count * min(1.0, SHARE)))


def some_of(items: Sequence[_T]) -> list[_T]:
    """A share of the items, spread over all of them: what comes late is run by a tenth, too."""
    count = share_of(len(items))
    if count == len(items):
        return list(items)
    # No factor in common: none comes twice, and what repeats every few items is met at every point.
    step = next(step for step in itertools.count(len(items) // count + 1) if math.gcd(step, len(items)) == 1)
    return [items[number * step % len(items)] for number in range(count)]


class Fault:
    """One planted fault. It is wrong until one of the methods says otherwise."""

    def __init__(self, kind: str, what: str) -> None:
        self.kind, self.what = kind, what
        self.outcome, self.why = "wrong", "nothing was found out"

    def recovered(self) -> None:
        """The right bytes came in the end."""
        self.outcome, self.why = "recovered", ""

    def refused(self) -> None:
        """It was told in a clear line, or left a row of exclusions."""
        self.outcome, self.why = "refused", ""

    def missed(self) -> None:
        """It came too late: nothing was left to break."""
        self.outcome, self.why = "missed", ""

    def row(self) -> dict[str, str]:
        """As it travels in a test's report."""
        return {"kind": self.kind, "what": self.what, "outcome": self.outcome, "why": self.why}


def _ends_of(told: str, begin: int = 300, end: int = 2500) -> str:
    """What is told first and last."""
    return told if len(told) <= begin + end else f"{told[:begin]} … {told[-end:]}"


class Faults:
    """The faults of one test."""

    def __init__(self) -> None:
        self.planted: list[Fault] = []

    @contextmanager
    def plant(self, kind: str, what: str) -> Iterator[Fault]:
        """Plant one; whatever the block raises is what is wrong, and the test goes on with the next."""
        fault = Fault(kind, what)
        self.planted.append(fault)
        try:
            yield fault
        except Exception as error:
            fault.outcome, fault.why = "wrong", f"{type(error).__name__}: {error}"

    def require_right(self) -> None:
        """Fail when any was wrong."""
        wrong = [
            f"{fault.kind}: {fault.what}: {_ends_of(fault.why)}"
            for fault in self.planted
            if fault.outcome == "wrong"
        ]
        assert not wrong, f"{len(wrong)} of {len(self.planted)} wrong:\n" + "\n".join(wrong)


def is_whole(config: pytest.Config, folder: Path) -> bool:
    """Whether a run was asked for all tests of a folder, and for no choice among them."""
    option = config.option
    chosen = option.keyword or option.markexpr or option.deselect or option.lf or option.maxfail == 1
    ignored = [Path(path).resolve() for path in [*(option.ignore or []), *(option.ignore_glob or [])]]
    if chosen or any(path.is_relative_to(folder) for path in ignored):
        return False
    asked = [Path(config.invocation_params.dir, str(word).partition("::")[0]).resolve() for word in config.args]
    return any(
        "::" not in str(word) and folder.is_relative_to(path) for word, path in zip(config.args, asked, strict=True)
    )


def counted(rows: Iterable[dict[str, str]], not_run: dict[str, str]) -> dict[str, Any]:
    """The figures of `faults.json`."""
    kinds: dict[str, dict[str, int]] = {}
    wrong: list[str] = []
    missed = 0
    for row in rows:
        if row["outcome"] == "missed":
            missed += 1
            continue
        counts = kinds.setdefault(row["kind"], dict.fromkeys(("injected", *OUTCOMES), 0))
        counts["injected"] += 1
        counts[row["outcome"]] += 1
        if row["outcome"] == "wrong":
            wrong.append(f"{row['kind']}: {row['what']}: {row['why'][:300]}")
    total = {key: sum(counts[key] for counts in kinds.values()) for key in ("injected", *OUTCOMES)}
    found: dict[str, Any] = {**total, "kinds": dict(sorted(kinds.items()))}
    if missed:
        found["missed"] = missed
    if wrong:
        found["what_was_wrong"] = wrong
    if not_run:
        found["not_run"] = not_run
    return found


def table(found: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    head = ("fault", "injected", *OUTCOMES)
    rows = [(kind, *(str(counts[key]) for key in head[1:])) for kind, counts in found["kinds"].items()]
    rows.append(("all", *(str(found[key]) for key in head[1:])))
    width = max(len(row[0]) for row in [head, *rows])
    lines = [row[0].ljust(width) + "".join(cell.rjust(11) for cell in row[1:]) for row in [head, *rows]]
    if "missed" in found:
        lines.append(f"missed, for what was to be broken had ended: {found['missed']}")
    return [*lines, *(f"not run: {name}: {why}" for name, why in found.get("not_run", {}).items())]


def as_json(found: dict[str, Any]) -> str:
    """The text of `faults.json`."""
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"
