"""The network of a run directory."""

from __future__ import annotations

from schemas.errors import DataError
from train.loop.checkpoint import load_model
from train.models.network import Network
from train.recipe import Recipe
from train.run import MODEL, Run
from train.tasks import task_module
from train.tasks.base import Kept


def kept_of(run: Run, recipe: Recipe) -> Kept:
    """What the run kept of its network.

    Raises:
        DataError: a file is missing.
    """
    kept = {}
    for name in task_module(recipe.task).KEPT:
        try:
            kept[name] = run.store.read_text(name)
        except (FileNotFoundError, UnicodeDecodeError) as error:
            raise DataError(f"{run.store.root}/{name}: is missing or damaged ({error}); train again") from error
    return kept


def trained_network(run: Run, recipe: Recipe) -> Network:
    """The run's best weights.

    Raises:
        DataError: a file is missing or damaged.
    """
    network = task_module(recipe.task).restored(run, recipe, kept_of(run, recipe))
    load_model(run.store, MODEL, network)
    return network
