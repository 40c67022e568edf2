"""What a run directory holds, read once for its page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from schemas.errors import DataError
from train.evaluate.space import Space, read_space
from train.run import DATA, HISTORY, METRICS, MODEL, RECIPE, SPACE, STATE, Run


@dataclass(frozen=True)
class Contents:
    """A run as its page needs it.

    Attributes:
        folder: the directory's own name.
        recipe, data: as recipe.json and data.json hold them.
        history: rows of history.jsonl; values that are no finite numbers are left out.
        state, metrics: empty where there are none; metrics of other weights are none.
        space: None where there is none.
        notes: what a reader must know.
    """

    folder: str
    recipe: dict[str, Any]
    data: dict[str, Any]
    history: list[dict[str, Any]]
    state: dict[str, Any]
    metrics: dict[str, Any]
    space: Space | None
    notes: list[str]

    @property
    def name(self) -> str:
        """The recipe's."""
        return str(self.recipe.get("name") or self.folder)

    @property
    def measured(self) -> bool:
        """Whether it was evaluated on its own dataset."""
        return "tracks" in self.metrics


def read_contents(run: Run) -> Contents:
    """Read a run.

    Raises:
        UsageError: no run here.
        DataError: a file is damaged.
    """
    recipe, data = run.read_json(RECIPE), run.read_json(DATA)
    state = run.read_json(STATE) if run.store.exists(STATE) else {}
    metrics = run.read_json(METRICS) if run.store.exists(METRICS) else {}
    notes = [str(note) for note in state.get("notes") or []]
    if metrics and metrics.get("model") != (run.store.sha256(MODEL) if run.store.exists(MODEL) else None):
        notes.append(
            "It was trained further since it was evaluated, so its figures are not shown; evaluate it again."
        )
        metrics = {}
    notes += [str(note) for note in metrics.get("notes") or []]
    folder = run.store.root.rstrip("/").rpartition("/")[2]
    space = read_space(run.store, SPACE) if metrics else None
    return Contents(folder, recipe, data, _history(run), state, metrics, space, notes)


def _history(run: Run) -> list[dict[str, Any]]:
    if not run.store.exists(HISTORY):
        return []
    rows = []
    for number, line in enumerate(run.store.read_text(HISTORY).splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{run.store.root}/{HISTORY}: line {number} is damaged ({error}); train again"
            ) from error
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise DataError(f"{run.store.root}/{HISTORY}: line {number} has no step; train again")
        rows.append(
            {key: value for key, value in row.items() if not isinstance(value, float) or math.isfinite(value)}
        )
    return rows
