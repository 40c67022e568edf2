"""Two augmented crops of a stretch of music are near each other: SimCLR on audio (CLMR; VCMR 3.2, stage 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from schemas.errors import UsageError
from schemas.manifest import Section
from train.augmentations import Chain, augmentation_settings
from train.data.batches import Batch, Batches
from train.data.order import EpochOrder
from train.data.reader import Array
from train.evaluate.asked import Asked
from train.models.audios.sample_cnn import scaled
from train.models.network import Network, Tensors
from train.models.video_lstm import projector
from train.objectives.base import Pairs
from train.recipe import TrainingSection
from train.run import Run
from train.tasks.base import Kept, Material
from train.tasks.waves.material import Heard, Item, Same, WavesMaterial, known_of, open_heard
from train.tasks.waves.network import audio_encoder, objective_of, row_of, spec_of
from train.tasks.waves.recipe import AudioModel, WavesRecipe

KEPT: tuple[str, ...] = ()


class Augmented(BaseModel):
    """One augmentation. `kind` names the module of `train.augmentations` that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str


class ViewsModel(Section):
    """The encoder, and the dimensions of the space where views are compared."""

    embedding: int = Field(default=128, ge=1)
    audio: AudioModel = AudioModel()


class ViewsTraining(TrainingSection):
    """Which other rows are no negatives."""

    masked: tuple[Same, ...] = Field(
        default=(), description="rows of the same recording, or by the same artist, are neither drawn near nor away"
    )


class AudioViewsRecipe(WavesRecipe):
    """One configuration of training an audio encoder on views of tracks."""

    task: Literal["audio_views"] = "audio_views"
    augmentations: tuple[Augmented, ...] = Field(default=(), description="in the order in which they are applied")
    model: ViewsModel = ViewsModel()
    training: ViewsTraining = ViewsTraining()

    @field_validator("augmentations", mode="before")
    @classmethod
    def _names_too(cls, value: Any) -> Any:
        """A bare name is an augmentation as published."""
        return (
            [{"kind": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value
        )

    def resolved(self, where: str) -> Self:
        """See `Recipe.resolved`."""
        found = (augmentation_settings(one.model_dump(), where) for one in self.augmentations)
        augmentations = tuple(Augmented.model_validate(one.model_dump()) for one in found)
        return super().resolved(where).model_copy(update={"augmentations": augmentations})


RECIPE = AudioViewsRecipe


class AudioViews(Network):
    """An encoder of audio, and a projector into the space where two views are compared."""

    inputs = ("views", "numbers")

    def __init__(self, audio: nn.Module, embedding: int, objective: Any, chain: Chain) -> None:
        super().__init__()
        self.audio = audio
        self.project_audio = projector(int(audio.width), embedding)  # type: ignore[arg-type]
        self.objective = objective
        self.chain = chain

    def sides(self, tensors: Tensors) -> tuple[Tensor, ...]:
        """Embeddings of the first and of the second view, (n, D) each."""
        waves = tensors["views"].flatten(0, 1)
        if self.chain.width:
            waves = self.chain.applied(scaled(waves), tensors["numbers"].flatten(0, 1))
        rows = row_of(self.project_audio(self.audio(waves)))
        return rows[0::2], rows[1::2]

    def between(self, sides: Sequence[Tensor], tensors: Tensors, crops: int) -> Tensor:
        """The objective's; a view is true of the other one of its row."""
        first, second = sides
        own = torch.eye(len(first), dtype=torch.bool, device=first.device)
        loss: Tensor = self.objective(first, second, Pairs.of(own, tensors["ignored"]))
        return loss


@dataclass(frozen=True)
class Views(Batches):
    """Tensors: this rank's crops `views` (n, 2, samples), and `numbers` (n, 2, …) that decide how each is changed;
    of the whole global batch `ignored` (N, N), rows that are no negatives of each other."""

    heard: Heard
    items: tuple[Item, ...]
    chain: Chain
    masked: tuple[Same, ...]
    seed: int

    def training(self, order: EpochOrder, epoch: int, step: int) -> Batch:
        """Two random crops of each item, and how they are augmented."""
        items = [self.items[number] for number in order.batch(epoch, step)]
        known, figures = known_of(self.heard, items, self.masked)
        return Batch(
            tuple(i.track_id for i in items), {**self.rows(items[order.local], epoch), **known}, 1, figures
        )

    def validation(self, items: Sequence[int]) -> dict[str, Array]:
        """The views of epoch 0, which no train item has."""
        return self.rows([self.items[number] for number in items], 0)

    def validation_known(self, items: Sequence[int], number: int) -> dict[str, Array]:
        """See `train.tasks.waves.material.known_of`."""
        return known_of(self.heard, [self.items[number] for number in items], self.masked)[0]

    def rows(self, items: Sequence[Item], epoch: int) -> dict[str, Array]:
        """This rank's tensors."""
        cut = [self.heard.crop(i, seed=self.seed, epoch=epoch, number=view) for i in items for view in (0, 1)]
        views = self.heard.reader.read(cut)[self.heard.feature]
        drawn = np.zeros((len(items), 2, max(1, self.chain.width)), np.float32)
        for row, item in enumerate(items):
            # Two segments of a track are augmented in different ways.
            key = f"{item.track_id}\x00{item.spans[0].start_s:.3f}"
            for view in (0, 1):
                drawn[row, view, : self.chain.width] = self.chain.numbers(
                    key, seed=self.seed, epoch=epoch, view=view
                )
        return {"views": views.reshape(len(items), 2, *views.shape[1:]), "numbers": drawn}


@dataclass(frozen=True)
class AudioViewsMaterial(WavesMaterial):
    """A dataset as the recipe uses it."""

    recipe: AudioViewsRecipe
    heard: Heard
    chain: Chain

    @property
    def crops(self) -> int:
        """Two views."""
        return 2

    def identity(self) -> dict[str, Any]:
        """See `Material.identity`."""
        return self.heard.identity(labels=False)

    def new_network(self) -> tuple[Network, Kept]:
        """See `Material.new_network`."""
        torch.manual_seed(self.recipe.training.seed)

        return _network(self.recipe, self.heard.sound.spec.shape, self.chain, self.statistics), {}

    def batches(self, kept: Kept) -> tuple[Batches, Batches]:
        """See `Material.batches`."""
        own = self.recipe.training
        train, valid = (
            Views(self.heard, items, self.chain, own.masked, own.seed)
            for items in (self.heard.train, self.heard.valid)
        )
        return train, valid


def _network(recipe: AudioViewsRecipe, shape: tuple[int, ...], chain: Chain, statistics: Any = None) -> AudioViews:
    audio = audio_encoder(recipe.model.audio, recipe.data.samples, shape, statistics)
    return AudioViews(audio, recipe.model.embedding, objective_of(recipe.objective), chain)


def _chain(recipe: AudioViewsRecipe, shape: tuple[int, ...], frame_s: float) -> Chain:
    if recipe.augmentations and shape != (-1,):
        raise UsageError(
            "augmentations: change samples, and the feature has frames; leave them out, or hear waveform"
        )
    return Chain([one.model_dump() for one in recipe.augmentations], round(1 / frame_s))


def opened(data: str, recipe: AudioViewsRecipe) -> Material:
    """See `train.tasks.base.Task.opened`."""
    heard = open_heard(data, recipe, [recipe.data.feature])
    chain = _chain(recipe, heard.sound.spec.shape, heard.sound.frame_s)
    return AudioViewsMaterial(recipe, heard, chain)


def restored(run: Run, recipe: AudioViewsRecipe, kept: Kept) -> Network:
    """See `train.tasks.base.Task.restored`."""
    del kept
    spec = spec_of(run)
    return _network(recipe, spec["shape"], _chain(recipe, spec["shape"], spec["hop_s"]))


def measured(run: Run, data: str, asked: Asked) -> dict[str, Any]:
    """See `train.tasks.base.Task.measured`."""
    from train.evaluate.encoder import measure_encoder

    return measure_encoder(run, data, asked)
