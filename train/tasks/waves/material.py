"""Tracks that have all features that a task wants, their stretches, and the crops of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from schemas.errors import UsageError
from train.data.dataset import Dataset
from train.data.joined import JoinedReader, Span, SpanCrop
from train.data.reader import Array, ClipReader
from train.data.statistics import mean_and_std
from train.data.text import same
from train.tasks.base import Material
from train.tasks.waves.recipe import WavesData, WavesRecipe

Same = Literal["recording", "artist"]


@dataclass(frozen=True)
class Item:
    """What an epoch goes through: a track, or one stretch of it.

    Attributes:
        spans: the stretches that it may be cropped from.
    """

    track_id: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Heard:
    """The usable tracks of a dataset, as the items of epochs.

    Attributes:
        reader: of all features that the task wants.
        feature: what is heard, one of them.
        seconds: of a crop.
        train, valid: the items, in the order in which batches count them.
        notes: what a person should know.
    """

    dataset: Dataset
    reader: JoinedReader
    feature: str
    seconds: float
    train: tuple[Item, ...]
    valid: tuple[Item, ...]
    notes: tuple[str, ...]

    @property
    def sound(self) -> ClipReader:
        """The reader of what is heard."""
        return self.reader.readers[self.feature]

    def crop(self, item: Item, *, seed: int, epoch: int, number: int = 0) -> SpanCrop:
        """A random crop; see `JoinedReader.random_crop`."""
        return self.reader.random_crop(
            item.track_id, self.seconds, seed=seed, epoch=epoch, number=number, spans=item.spans
        )

    def centre(self, item: Item) -> SpanCrop:
        """The crop that validation hears."""
        return self.reader.centre_crop(item.track_id, self.seconds, spans=item.spans)

    def identity(self, *, labels: bool) -> dict[str, Any]:
        """What a run remembers of its data.

        Args:
            labels: whether what is said of the tracks decides what is learnt.
        """
        found = self.dataset.identity(self.feature, self.sound.spec)
        if not labels:
            del found["labels"]
        return found


def open_heard(
    data: str, recipe: WavesRecipe, features: Sequence[str], *, keep: Mapping[str, Any] | None = None
) -> Heard:
    """Open what a recipe needs of a dataset.

    Args:
        features: that a track must have; the first is what is heard.
        keep: only these tracks; None for all.

    Raises:
        UsageError: the dataset lacks a feature, a split, or enough tracks to train on.
        DataError: a file is not the one that the receipt lists.
    """
    section: WavesData = recipe.data
    dataset = Dataset(data)
    splits = dataset.split_of(section.scheme, section.fold)
    reader = dataset.joined(features)
    notes: list[str] = []

    def items(name: str, wanted: Sequence[str]) -> tuple[Item, ...]:
        tracks = sorted(track for track, split in splits.items() if split in wanted)
        there = [track for track in tracks if track in reader.spans]
        if len(there) < len(tracks):
            missing = len(tracks) - len(there)
            notes.append(f"{missing} tracks of {name} have no clip of {' and '.join(features)} and are left out.")
        kept = [track for track in there if keep is None or track in keep]
        if len(kept) < len(there):
            notes.append(f"{len(there) - len(kept)} tracks of {name} have no tags and are left out.")
        return tuple(item for track in kept for item in _items(track, reader.spans[track], section.items))

    train, valid = items("train", section.train), items("valid", section.valid)
    if len(train) < 2:
        present = ", ".join(sorted(set(splits.values()))) or "none"
        raise UsageError(
            f"{data}: {len(train)} usable tracks in split {' or '.join(section.train)} (splits: {present}), and "
            "training needs at least 2; set data.train of the recipe"
        )
    if len(valid) < 2:
        notes.append("Valid has fewer than 2 usable tracks: no early stopping, the last weights are kept.")
    if len(train) < recipe.training.batch_size:
        notes.append(f"Batches are smaller than {recipe.training.batch_size}: that is more than all of train.")
    if section.items == "segments":
        notes.append(f"An epoch goes through {len(train)} segments of {len({i.track_id for i in train})} tracks.")
    frame_s = reader.readers[section.feature].frame_s
    return Heard(dataset, reader, section.feature, section.samples * frame_s, train, valid, tuple(notes))


def _items(track: str, spans: Sequence[Span], kind: Literal["segments", "tracks"]) -> list[Item]:
    return [Item(track, tuple(spans))] if kind == "tracks" else [Item(track, (span,)) for span in spans]


def known_of(
    heard: Heard, items: Sequence[Item], masked: Sequence[Same]
) -> tuple[dict[str, Array], dict[str, float]]:
    """What is known of a global batch.

    Returns:
        `ignored`, bool (N, N), rows that are no negatives of each other; and how many other rows of a row's
        recording there are, on average, and how many of these are taken for negatives.
    """
    identities = heard.dataset.identities
    known = [identities.get(item.track_id, (None, None)) for item in items]
    recordings = same([recording or item.track_id for (recording, _), item in zip(known, items, strict=True)])
    ignored = np.zeros_like(recordings)
    if "recording" in masked:
        ignored |= recordings
    if "artist" in masked:
        ignored |= same([artist for _, artist in known])
    np.fill_diagonal(ignored, False)
    np.fill_diagonal(recordings, False)
    false = recordings & ~ignored
    figures = {"same_recording": recordings.sum() / len(items), "false_negatives": false.sum() / len(items)}
    return {"ignored": ignored}, {name: float(value) for name, value in figures.items()}


class WavesMaterial(Material):
    """A dataset as a recipe of sound uses it, as far as these tasks share it.

    Attributes:
        recipe: the task's own.
        heard: its usable tracks.
    """

    recipe: Any
    heard: Heard

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, a sentence each."""
        return self.heard.notes

    @property
    def train_tracks(self) -> Sequence[str]:
        """Ids of the items' tracks, in order."""
        return [item.track_id for item in self.heard.train]

    @property
    def valid_tracks(self) -> Sequence[str]:
        """Ids of the items' tracks, in order."""
        return [item.track_id for item in self.heard.valid]

    @property
    def validates(self) -> bool:
        """Whether there is another row to tell a row from."""
        return len(self.heard.valid) >= 2

    def statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of the train tracks' sound."""
        tracks = sorted(set(self.train_tracks))
        return mean_and_std(self.heard.sound, tracks, seed=self.recipe.training.seed)
