"""The groups that are remembered are those of the code that is there."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest

import pipelines
from pipelines.tags import grouped

ROOT = Path(pipelines.__file__).parent.parent


def imported(module: str) -> set[str]:
    tree = ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def test_all_modules_that_groups_come_from_are_in_the_digest() -> None:
    found, waiting = set[str](), ["pipelines.tags.grouped"]
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting += {name for name in imported(module) if name.startswith("pipelines.")} - found
    # The cache keeps what it is given.
    assert {".".join(names) for names in grouped._MODULES} == found - {"pipelines.cache"}


def test_other_code_or_letters_are_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = grouped.code_digest.__wrapped__()
    assert before == grouped.code_digest.__wrapped__() == grouped.code_digest()
    for package, name in grouped._MODULES:
        (tmp_path / package).mkdir(exist_ok=True)
        text = ROOT.joinpath(*package.split("."), f"{name}.py").read_text("utf-8")
        (tmp_path / package / f"{name}.py").write_text(text, "utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(grouped, "files", lambda package: tmp_path / package)
        assert grouped.code_digest.__wrapped__() == before
        for package, name in grouped._MODULES:
            path = tmp_path / package / f"{name}.py"
            text = path.read_text("utf-8")
            path.write_text(text + "# more\n", "utf-8")
            assert grouped.code_digest.__wrapped__() != before
            path.write_text(text, "utf-8")
    monkeypatch.setattr(unicodedata, "unidata_version", "0.0.0")
    assert grouped.code_digest.__wrapped__() != before
