"""The command itself: quick to answer, and its verbs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VERBS = ["build", "split", "audit", "verify", "export", "report", "presets", "train", "evaluate", "search", "demo"]


def test_help_names_every_verb_and_loads_nothing_heavy() -> None:
    script = (
        "import sys, tracklore\n"
        "try:\n    tracklore.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'apache_beam', 'torch', 'pandas', 'numba', 'pyarrow', 'numpy', 'fsspec'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(command: Callable[..., Any], verb: str) -> None:
    ran = command(verb, "--help")
    assert ran.code == 0
    assert "--help" in ran.out


def test_no_words_show_the_help(command: Callable[..., Any]) -> None:
    assert "build" in command().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("build folder --workers x --out y", "Invalid value for '--workers': "),
        ("build folder", "Missing option '--out'; "),
        ("build", "Missing argument 'manifest'; "),
        ("evaluate run --nope x", "No such option: --nope"),
        ("build folder --out", "Option '--out' requires an argument"),
        ("--nope build", "No such option: --nope"),
        ("-x", "No such option: -x"),
        ("buidl", "No such command 'buidl'. Did you mean 'build'?; "),
    ],
)
def test_words_that_are_wrong_are_told_in_a_line(command: Callable[..., Any], words: str, told: str) -> None:
    ran = command(*words.split())
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert line.startswith(f"tracklore: {told}")
    assert line.endswith(" --help tells how it is used")


def test_it_tells_its_version(command: Callable[..., Any]) -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8")
    expected = tomllib.loads(text)["project"]["version"]
    ran = command("--version")
    assert (ran.code, ran.out) == (0, f"tracklore {expected}\n")
