"""Weights & Biases: another view of the history, when it is installed and asked for."""

from __future__ import annotations

import importlib
import uuid
from typing import Any

from schemas.errors import UsageError
from train.recipe import Recipe
from train.run import LOGS, Run

_STATE = f"{LOGS}/wandb.json"


def require_wandb(recipe: Recipe) -> Any:
    """The module, or None when it is not asked for.

    Raises:
        UsageError: it is asked for and not installed.
    """
    if recipe.machine.wandb is None:
        return None
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise UsageError(
            f"machine.wandb: W&B cannot be imported ({error}); pip install wandb, or leave the key out"
        ) from error


class WandbLog:
    """Sends the history's figures to a project; does nothing where none is asked for. A run that goes on is one."""

    def __init__(self, recipe: Recipe, run: Run, *, first_rank: bool) -> None:
        module = require_wandb(recipe) if first_rank else None
        self._run: Any = None
        if module is None:
            return
        if not run.store.exists(_STATE):
            run.write_json(_STATE, {"id": uuid.uuid4().hex})
        self._run = module.init(
            project=recipe.machine.wandb,
            id=run.read_json(_STATE)["id"],
            name=run.store.root.rstrip("/").rpartition("/")[2],
            config=recipe.content(),
            dir=str(run.store.local_path(LOGS) or "."),
            resume="allow",
        )

    def __enter__(self) -> WandbLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)

    def add(self, row: dict[str, Any]) -> None:
        """Log one row of the history and the speed."""
        if self._run is not None:
            known = {name: value for name, value in row.items() if name != "step" and value is not None}
            self._run.log(known, step=row["step"])
