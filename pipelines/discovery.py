"""Finds what can be named in a manifest: adding a source or a feature is adding a file."""

from __future__ import annotations

import importlib.resources
from functools import cache


@cache
def modules_that_define(name: str, package: str) -> list[str]:
    """The modules of a package that assign `name` at their top level, sorted; none is imported."""
    files = importlib.resources.files(package).iterdir()
    named = [file for file in files if file.name.endswith(".py") and f"\n{name} = " in file.read_text("utf-8")]
    return sorted(file.name.removesuffix(".py") for file in named)
