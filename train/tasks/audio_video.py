"""A stretch of music is near what is seen meanwhile, so that its encoder learns what pictures tell (VCMR 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from schemas.errors import UsageError
from schemas.manifest import Name, Section
from train.data.batches import Batch, Batches
from train.data.order import EpochOrder
from train.data.reader import Array
from train.data.statistics import by_dimension
from train.evaluate.asked import Asked
from train.models.network import Network, Tensors
from train.models.video_lstm import VideoLstm, projector
from train.objectives.base import Pairs
from train.recipe import TrainingSection
from train.run import Run
from train.tasks.base import Kept, Material
from train.tasks.waves.material import Heard, Item, Same, WavesMaterial, known_of, open_heard
from train.tasks.waves.network import audio_encoder, freeze, objective_of, row_of, spec_of, start, start_digest
from train.tasks.waves.recipe import AudioModel, StartSection, WavesData, WavesRecipe

KEPT: tuple[str, ...] = ()


class AudioVideoData(WavesData):
    """What is heard and seen."""

    video: Name = Field(default="clip", description="a feature of the dataset's manifest: a vector a second")


class VideoModel(Section):
    """The temporal model over the vectors; see `train.models.video_lstm`."""

    layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1, description="between layers")
    width: int = Field(default=512, ge=1, description="dimensions of the result")
    standardised: bool = Field(
        default=False,
        description="each of the vectors' dimensions by its mean and deviation over the training clips",
    )


class AudioVideoModel(Section):
    """Both encoders and the dimensions of their joint space."""

    embedding: int = Field(default=128, ge=1)
    audio: AudioModel = AudioModel()
    video: VideoModel = VideoModel()


class AudioVideoTraining(TrainingSection):
    """Which other rows are no negatives."""

    masked: tuple[Same, ...] = Field(
        default=(), description="rows of the same recording, or by the same artist, are neither drawn near nor away"
    )


class AudioVideoRecipe(WavesRecipe):
    """One configuration of training an audio encoder on what is seen while it sounds."""

    task: Literal["audio_video"] = "audio_video"
    data: AudioVideoData = AudioVideoData()
    start: StartSection = StartSection()
    model: AudioVideoModel = AudioVideoModel()
    training: AudioVideoTraining = AudioVideoTraining()


RECIPE = AudioVideoRecipe


class AudioVideo(Network):
    """An encoder of audio and one of vectors of seconds, each with a projector into their joint space."""

    inputs = ("waves", "seconds")

    def __init__(self, audio: nn.Module, video: VideoLstm, embedding: int, objective: Any) -> None:
        super().__init__()
        self.audio = audio
        self.project_audio = projector(int(audio.width), embedding)  # type: ignore[arg-type]
        self.video = video
        self.project_video = projector(video.width, embedding)
        self.objective = objective

    def sides(self, tensors: Tensors) -> tuple[Tensor, ...]:
        """Embeddings of what is heard, and of what is seen."""
        return self.embed_audio(tensors["waves"]), row_of(self.project_video(self.video(tensors["seconds"])))

    def embed_audio(self, waves: Tensor) -> Tensor:
        """(N, samples) to unit embeddings, float32 (N, D)."""
        return row_of(self.project_audio(self.audio(waves)))

    def between(self, sides: Sequence[Tensor], tensors: Tensors, crops: int) -> Tensor:
        """The objective's; what is seen is true of what is heard in its row."""
        audio, video = sides
        own = torch.eye(len(audio), dtype=torch.bool, device=audio.device)
        loss: Tensor = self.objective(audio, video, Pairs.of(own, tensors["ignored"]))
        return loss


@dataclass(frozen=True)
class Scenes(Batches):
    """Tensors: this rank's crops `waves` (n, samples) and `seconds` (n, seconds, width), cut at the same second; of
    the whole global batch `ignored` (N, N), rows that are no negatives of each other."""

    heard: Heard
    items: tuple[Item, ...]
    video: str
    masked: tuple[Same, ...]
    seed: int

    def training(self, order: EpochOrder, epoch: int, step: int) -> Batch:
        """A random crop of each item."""
        items = [self.items[number] for number in order.batch(epoch, step)]
        cut = [self.heard.crop(item, seed=self.seed, epoch=epoch) for item in items[order.local]]
        known, figures = known_of(self.heard, items, self.masked)
        return Batch(tuple(item.track_id for item in items), {**self._read(cut), **known}, 1, figures)

    def validation(self, items: Sequence[int]) -> dict[str, Array]:
        """Centre crops."""
        return self._read([self.heard.centre(self.items[number]) for number in items])

    def validation_known(self, items: Sequence[int], number: int) -> dict[str, Array]:
        """See `known_of`."""
        return known_of(self.heard, [self.items[number] for number in items], self.masked)[0]

    def _read(self, crops: Sequence[Any]) -> dict[str, Array]:
        found = self.heard.reader.read(crops)
        return {"waves": found[self.heard.feature], "seconds": found[self.video]}


@dataclass(frozen=True)
class AudioVideoMaterial(WavesMaterial):
    """A dataset as the recipe uses it.

    Attributes:
        started: sha256 of the weights that it starts from.
    """

    recipe: AudioVideoRecipe
    heard: Heard
    started: str | None

    def identity(self) -> dict[str, Any]:
        """See `Material.identity`."""
        found = self.heard.identity(labels=False)
        video = self.heard.dataset.identity(self.recipe.data.video, self._video.spec)
        seen = {key: video[key] for key in ("feature", "feature_spec", "clips")}
        return {**found, "video": seen, "start": self.started}

    @property
    def _video(self) -> Any:
        return self.heard.reader.readers[self.recipe.data.video]

    def new_network(self) -> tuple[Network, Kept]:
        """See `Material.new_network`."""
        torch.manual_seed(self.recipe.training.seed)

        network = _network(
            self.recipe, self.heard.sound.spec.shape, self._video.spec.shape, self._seconds, self.statistics
        )
        if self.recipe.model.video.standardised:
            mean, std = by_dimension(self._video, sorted(set(self.train_tracks)), seed=self.recipe.training.seed)
            network.video.mean.copy_(torch.from_numpy(mean))
            network.video.std.copy_(torch.from_numpy(std))
        start(network, network.audio, self.recipe.start)
        return network, {}

    @property
    def _seconds(self) -> int:
        return self.heard.reader.frames(self.recipe.data.video, self.heard.seconds)

    def batches(self, kept: Kept) -> tuple[Batches, Batches]:
        """See `Material.batches`."""
        own, heard = self.recipe.training, self.heard
        train, valid = (
            Scenes(heard, items, self.recipe.data.video, own.masked, own.seed)
            for items in (heard.train, heard.valid)
        )
        return train, valid

    @property
    def figure_names(self) -> tuple[str, ...]:
        """See `Material.figure_names`."""
        return ("recall_at_10",)

    def figures(self, sides: Sequence[Tensor]) -> dict[str, float]:
        """How often what is seen finds what is heard among the 10 nearest of all valid items."""
        audio, video = sides
        scores = video @ audio.T
        better = (scores > scores.diagonal()[:, None]).sum(1)
        return {"recall_at_10": float((better < 10).float().mean())}


def _network(
    recipe: AudioVideoRecipe, shape: tuple[int, ...], seen: tuple[int, ...], seconds: int, statistics: Any = None
) -> AudioVideo:
    audio = audio_encoder(recipe.model.audio, recipe.data.samples, shape, statistics)
    own = recipe.model.video
    video = VideoLstm(seen[1], seconds, own.width, layers=own.layers, dropout=own.dropout)
    return AudioVideo(audio, video, recipe.model.embedding, objective_of(recipe.objective))


def opened(data: str, recipe: AudioVideoRecipe) -> Material:
    """See `train.tasks.base.Task.opened`."""
    section = recipe.data
    if section.feature == section.video:
        raise UsageError(
            f"data.video: is {section.video!r}, which is what is heard; name a feature of the pictures"
        )
    heard = open_heard(data, recipe, [section.feature, section.video])
    seen = heard.reader.readers[section.video].spec
    if len(seen.shape) != 2:
        raise UsageError(f"{data}: feature {section.video!r} is {seen.shape}, not one vector a second")
    return AudioVideoMaterial(recipe, heard, start_digest(recipe.start))


def restored(run: Run, recipe: AudioVideoRecipe, kept: Kept) -> Network:
    """See `train.tasks.base.Task.restored`."""
    del kept
    spec, seen = spec_of(run), spec_of(run, "video")
    seconds = max(1, round(recipe.data.samples * spec["hop_s"] / seen["hop_s"]))
    network = _network(recipe, spec["shape"], seen["shape"], seconds)
    freeze(network, network.audio, recipe.start)
    return network


def measured(run: Run, data: str, asked: Asked) -> dict[str, Any]:
    """See `train.tasks.base.Task.measured`."""
    from train.evaluate.encoder import measure_encoder

    return measure_encoder(run, data, asked)
