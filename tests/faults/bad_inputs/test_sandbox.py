"""The sandbox itself: a command that executes its input, or writes where it may not, does not pass."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults.bad_inputs.sandbox import Sandbox
from tests.faults.tally import Faults


def outcome_of(tmp_path: Path, deed: str) -> tuple[str, str]:
    """What the sandbox says of a command that runs some words of a shell, and then refuses its input."""

    def command(*words: str | Path) -> SimpleNamespace:
        given, out = Path(words[1]), Path(words[3])
        out.mkdir()
        subprocess.run(deed, shell=True, check=True, env={**os.environ, "IN": str(given), "OUT": str(out)})
        return SimpleNamespace(code=2, out="", err="tracklore: no\n")

    faults = Faults()
    sandbox = Sandbox(tmp_path, command, faults)
    folder = sandbox.fresh()
    (folder / "kept").write_text("as it is")
    sandbox.judge("planted", deed, "build", folder)
    return faults.planted[0].outcome, faults.planted[0].why


@pytest.mark.parametrize("deed", ["touch canary", "touch $IN/canary", "touch $OUT/canary", "mkdir canary"])
def test_what_is_executed_is_seen(tmp_path: Path, deed: str) -> None:
    assert outcome_of(tmp_path, deed) == ("wrong", "AssertionError: it was executed")


@pytest.mark.parametrize(
    "deed",
    [
        "touch $OUT/../../escaped",
        "touch $OUT/../../../../etc",
        "mkdir $OUT/../../escaped",
        "touch $IN/../../escaped",
        "touch ../../../x",
        "touch x",
        "touch $IN/new",
        "echo more > $IN/kept",
        "rm $IN/kept",
        "touch $IN/new; rm $IN/new",
    ],
)
def test_what_is_written_elsewhere_is_seen(tmp_path: Path, deed: str) -> None:
    outcome, why = outcome_of(tmp_path, deed)
    assert outcome == "wrong"
    assert why.startswith("AssertionError: written outside of the output"), why


def test_the_output_may_be_written(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, "echo a > $OUT/a") == ("refused", "")
