"""What may be done to a sound that stays the same music, one module a kind: `Settings` and `Augmentation`.

A kind is found by its module's name, so adding one is adding one file. How a view is augmented is a pure function
of (seed, epoch, track, number of the view): the loader draws numbers, and any device turns them into sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from schemas.digests import stable_hash
from train.augmentations.base import Augmentation, AugmentationSettings
from train.kinds import Kinds

KINDS = Kinds(__name__, key="augmentations", called="augmentation", usual="gain", helpers=("base",))


def augmentation_settings(section: Mapping[str, Any], where: str) -> AugmentationSettings:
    """One entry of the recipe's list, validated; see `Kinds.settings`."""
    found = KINDS.settings(section, where)
    assert isinstance(found, AugmentationSettings)
    return found


class Chain:
    """Augmentations one after the other, each with its own probability.

    Attributes:
        width: how many numbers decide a view.
    """

    def __init__(self, sections: Sequence[Mapping[str, Any]], rate: int) -> None:
        """Make the augmentations of a recipe's list.

        Args:
            sections: validated, in the order in which they are applied.
            rate: samples a second.
        """
        self._steps: list[Augmentation] = []
        for section in sections:
            module = KINDS.module(str(section["kind"]))
            self._steps.append(module.Augmentation(module.Settings.model_validate(dict(section)), rate))
        self.width = sum(1 + step.NUMBERS for step in self._steps)

    def numbers(self, track_id: str, *, seed: int, epoch: int, view: int) -> npt.NDArray[np.float32]:
        """What decides a view, uniform in [0, 1), float32 (width,)."""
        draw = stable_hash(f"{epoch}\x00{track_id}\x00augment\x00{view}", seed)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(draw))).random(self.width, np.float32)

    @torch.no_grad()
    def applied(self, waves: Tensor, numbers: Tensor) -> Tensor:
        """Augment each row by its numbers: (N, samples) of full scale 1 and (N, width) to float32 (N, samples)."""
        with torch.autocast(waves.device.type, enabled=False):
            made = waves.float()
            place = 0
            for step in self._steps:
                chosen = (numbers[:, place] < step.settings.probability).nonzero().squeeze(1)
                own = numbers[:, place + 1 : place + 1 + step.NUMBERS]
                if len(chosen):
                    made = made.index_copy(0, chosen, step.applied(made[chosen], own[chosen]))
                place += 1 + step.NUMBERS
            return made
