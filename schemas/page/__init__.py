"""What Tracklore's pages share: the style sheet, how figures are counted and drawn, how numbers are worded."""

from __future__ import annotations

import importlib.resources


def style() -> str:
    """The style sheet."""
    return importlib.resources.files(__name__).joinpath("style.css").read_text("utf-8").strip()


class Numbering:
    """Counts figures and tables through the page."""

    def __init__(self) -> None:
        self._counts = {"Figure": 0, "Table": 0}

    def __call__(self, kind: str) -> str:
        """The next of its kind: `Figure 3`."""
        self._counts[kind] += 1
        return f"{kind} {self._counts[kind]}"
