"""A sandbox for each test, and one piece that can be heard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.features import isolation
from tests.faults.bad_inputs.sandbox import Sandbox, tone
from tests.faults.tally import Faults

Command = Callable[..., Any]


@pytest.fixture
def sandbox(tmp_path: Path, command: Command, faults: Faults) -> Sandbox:
    isolation.stop()  # a decoder that is left has the working directory of another sandbox
    return Sandbox(tmp_path, command, faults)


@pytest.fixture(scope="module")
def one_piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("piece") / "a.wav")
