"""Texts and audio in one space: TTMR (Doh et al. 2023) in all its variants, and the demo."""

from __future__ import annotations

from typing import Any

from train.evaluate.asked import Asked
from train.models.network import Network
from train.run import Run
from train.tasks.base import Kept
from train.tasks.text_audio.network import KEPT, restored_network
from train.tasks.text_audio.recipe import TextAudioRecipe

__all__ = ["KEPT", "RECIPE", "measured", "opened", "restored"]

RECIPE = TextAudioRecipe


def opened(data: str, recipe: TextAudioRecipe) -> Any:
    """See `train.tasks.base.Task.opened`."""
    from train.tasks.text_audio.material import open_material

    return open_material(data, recipe)


def restored(run: Run, recipe: TextAudioRecipe, kept: Kept) -> Network:
    """See `train.tasks.base.Task.restored`."""
    return restored_network(run, recipe, kept)[0]


def measured(run: Run, data: str, asked: Asked) -> dict[str, Any]:
    """See `train.tasks.base.Task.measured`."""
    from train.evaluate.measure import measure

    return measure(run, data, asked)
