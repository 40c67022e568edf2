"""Tags told by two layers on an audio encoder, frozen as in VCMR's third stage (3.4), or learning with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from schemas.errors import DataError, UsageError
from schemas.manifest import Section
from train.data.batches import Batch, Batches
from train.data.dataset import Dataset
from train.data.order import EpochOrder
from train.data.reader import Array
from train.data.text import labels_of
from train.evaluate.asked import Asked
from train.evaluate.tagging import macro_areas, measurable
from train.models.network import Network, Tensors
from train.objectives.base import Pairs
from train.recipe import ObjectiveSection
from train.run import TRAIN_TAGS, Run, json_text
from train.tasks.base import Kept, Material
from train.tasks.waves.material import Heard, Item, WavesMaterial, open_heard
from train.tasks.waves.network import audio_encoder, freeze, objective_of, spec_of, start, start_digest
from train.tasks.waves.recipe import AudioModel, StartSection, WavesData, WavesRecipe

KEPT = (TRAIN_TAGS,)


class TaggingData(WavesData):
    """What is heard."""

    items: Literal["segments", "tracks"] = Field(
        default="tracks", description="what an epoch goes through: every segment of every track, or every track"
    )
    overlap: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="of neighbouring crops when a whole track is tagged, as a part of a crop",
    )


class TaggingModel(Section):
    """The encoder and the two layers behind it."""

    audio: AudioModel = AudioModel()
    hidden: int = Field(default=128, ge=1, description="dimensions between the two layers")
    dropout: float = Field(default=0.3, ge=0, lt=1, description="of the encoder's features")


class TaggingRecipe(WavesRecipe):
    """One configuration of training to tell tags."""

    task: Literal["tagging"] = "tagging"
    data: TaggingData = TaggingData()
    start: StartSection = StartSection()
    model: TaggingModel = TaggingModel()
    objective: ObjectiveSection = ObjectiveSection(kind="bce")

    @model_validator(mode="after")
    def _by_tag(self) -> Self:
        if self.objective.kind != "bce":
            raise ValueError(f"objective.kind is {self.objective.kind!r}; tags are told one by one, by bce")
        return self


RECIPE = TaggingRecipe


class Tagger(Network):
    """An audio encoder and two layers: a logit a tag."""

    inputs = ("waves",)

    def __init__(self, audio: nn.Module, hidden: int, tags: int, dropout: float, objective: Any) -> None:
        super().__init__()
        self.audio = audio
        width = int(audio.width)  # type: ignore[arg-type]
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, tags))
        self.objective = objective

    def logits(self, waves: Tensor) -> Tensor:
        """(N, samples) to float32 (N, tags)."""
        logits: Tensor = self.head(self.audio(waves)).float()
        return logits

    def sides(self, tensors: Tensors) -> tuple[Tensor, ...]:
        """The logits alone."""
        return (self.logits(tensors["waves"]),)

    def between(self, sides: Sequence[Tensor], tensors: Tensors, crops: int) -> Tensor:
        """The objective's, each tag a direction of its own."""
        (logits,) = sides
        tags = torch.eye(logits.shape[1], device=logits.device)
        loss: Tensor = self.objective(logits, tags, Pairs.of(tensors["labels"]))
        return loss


@dataclass(frozen=True)
class Labelled(Batches):
    """Tensors: this rank's crops `waves` (n, samples); of the whole global batch `labels`, bool (N, tags)."""

    heard: Heard
    items: tuple[Item, ...]
    tags: tuple[str, ...]
    seed: int

    def training(self, order: EpochOrder, epoch: int, step: int) -> Batch:
        """A random crop of each item."""
        items = [self.items[number] for number in order.batch(epoch, step)]
        cut = [self.heard.crop(item, seed=self.seed, epoch=epoch) for item in items[order.local]]
        tensors = {"waves": self._read(cut), "labels": self.labels(items)}
        return Batch(tuple(item.track_id for item in items), tensors)

    def validation(self, items: Sequence[int]) -> dict[str, Array]:
        """Centre crops."""
        return {"waves": self._read([self.heard.centre(self.items[number]) for number in items])}

    def validation_known(self, items: Sequence[int], number: int) -> dict[str, Array]:
        """The labels."""
        return {"labels": self.labels([self.items[number] for number in items])}

    def labels(self, items: Sequence[Item]) -> Array:
        """Which tags the items' tracks have, bool (N, tags)."""
        texts = self.heard.dataset.texts
        columns = {tag: column for column, tag in enumerate(self.tags)}
        return labels_of([texts[item.track_id] for item in items], columns)

    def _read(self, crops: Sequence[Any]) -> Array:
        return self.heard.reader.read(crops)[self.heard.feature]


@dataclass(frozen=True)
class TaggingMaterial(WavesMaterial):
    """A dataset as the recipe uses it.

    Attributes:
        tags: of the train tracks, sorted.
        started: sha256 of the weights that it starts from.
    """

    recipe: TaggingRecipe
    heard: Heard
    tags: tuple[str, ...]
    started: str | None

    def identity(self) -> dict[str, Any]:
        """See `Material.identity`."""
        return {**self.heard.identity(labels=True), "start": self.started}

    def new_network(self) -> tuple[Network, Kept]:
        """See `Material.new_network`."""
        torch.manual_seed(self.recipe.training.seed)

        network = _network(self.recipe, self.heard.sound.spec.shape, len(self.tags), self.statistics)
        start(network, network.audio, self.recipe.start)
        return network, {TRAIN_TAGS: json_text({"tags": list(self.tags)})}

    def batches(self, kept: Kept) -> tuple[Batches, Batches]:
        """See `Material.batches`."""
        tags = tags_of(kept)
        train, valid = (
            Labelled(self.heard, items, tags, self.recipe.training.seed)
            for items in (self.heard.train, self.heard.valid)
        )
        return train, valid

    @property
    def figure_names(self) -> tuple[str, ...]:
        """See `Material.figure_names`."""
        return ("roc_auc", "pr_auc")

    def figures(self, sides: Sequence[Tensor]) -> dict[str, float]:
        """Macro averages over the tags, of one crop a track."""
        labels = Labelled(self.heard, self.heard.valid, self.tags, 0).labels(self.heard.valid)
        return macro_areas(sides[0].cpu().numpy(), labels) if len(measurable(labels)) else {}


def tags_of(kept: Kept) -> tuple[str, ...]:
    """The run's vocabulary, in the order of its logits.

    Raises:
        DataError: the file is damaged.
    """
    try:
        return tuple(str(tag) for tag in json.loads(kept[TRAIN_TAGS])["tags"])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{TRAIN_TAGS}: is damaged ({error}); train again") from error


def _network(recipe: TaggingRecipe, shape: tuple[int, ...], tags: int, statistics: Any = None) -> Tagger:
    audio = audio_encoder(recipe.model.audio, recipe.data.samples, shape, statistics)
    return Tagger(audio, recipe.model.hidden, tags, recipe.model.dropout, objective_of(recipe.objective))


def opened(data: str, recipe: TaggingRecipe) -> Material:
    """See `train.tasks.base.Task.opened`."""
    texts = Dataset(data).texts
    tagged = {track: source for track, source in texts.items() if source.tags}
    heard = open_heard(data, recipe, [recipe.data.feature], keep=tagged)
    tags = tuple(sorted({tag for item in heard.train for tag in tagged[item.track_id].tags}))
    if len(tags) < 2:
        raise UsageError(
            f"{data}: {len(tags)} tags on the train tracks, and tagging needs 2; see its manifest's tags"
        )
    return TaggingMaterial(recipe, heard, tags, start_digest(recipe.start))


def restored(run: Run, recipe: TaggingRecipe, kept: Kept) -> Network:
    """See `train.tasks.base.Task.restored`."""
    network = _network(recipe, spec_of(run)["shape"], len(tags_of(kept)))
    freeze(network, network.audio, recipe.start)
    return network


def measured(run: Run, data: str, asked: Asked) -> dict[str, Any]:
    """See `train.tasks.base.Task.measured`."""
    from train.evaluate.encoder import measure_tagger

    return measure_tagger(run, data, asked)
