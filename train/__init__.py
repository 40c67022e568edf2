"""The trainer: reads a dataset directory through `schemas`, trains, measures, searches.

What passes between `pipelines` and this package is a directory. Only `train.hear` imports `pipelines`, when a model
is given a file to hear.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.loaded import LoadedModel

__all__ = ["load"]


def load(directory: str | os.PathLike[str], *, device: str | None = None) -> LoadedModel:
    """Open a trained model: what `tracklore export` wrote, or a run directory.

    Args:
        device: as PyTorch names it; a GPU where there is one by default.

    >>> model = train.load("MODEL")
    >>> model.embed_text(["calm piano"]) @ model.embed_audio("song.mp3").T

    Raises:
        UsageError: the directory holds neither.
        DataError: a file of it is missing or damaged.
    """
    from train.loaded import load_model

    return load_model(directory, device)
