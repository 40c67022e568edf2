"""Numbers and names as a reader wants them."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def thousands(count: float | None) -> str:
    """A count with separators: 54,380. Nothing for None."""
    return "" if count is None else f"{count:,.0f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 in percent: 59.1%. Nothing for None."""
    return "" if share is None else f"{share:.{digits}%}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: 1 track, 57 tracks."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def length(seconds: float) -> str:
    """A time as a person says it: 42 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def one_line(text: str) -> str:
    """`text` without line breaks, controls and runs of spaces."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def shorten(text: str, limit: int) -> str:
    """One line of at most `limit` characters."""
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
