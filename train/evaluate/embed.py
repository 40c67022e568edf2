"""Whole tracks as embeddings: the clip is cut in crops that cover all of it, and their embeddings averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from schemas.errors import UsageError
from train.data.dataset import Dataset
from train.data.loader import ahead
from train.data.reader import Array, ClipReader, covering_crops
from train.data.tokens import tokenize
from train.loop.checkpoint import load_model
from train.loop.devices import on_cuda, set_up_torch
from train.loop.setup import kept_of
from train.recipe import first_difference
from train.run import DATA, MODEL, Run
from train.tasks.text_audio.network import restored_network
from train.tasks.text_audio.recipe import TextAudioRecipe

Vectors = npt.NDArray[np.float32]
CROPS_AT_ONCE = 64


class Embedder:
    """A run's best weights, ready to embed tracks and texts.

    Raises:
        UsageError: no trained run.
        DataError: damaged files.
    """

    def __init__(self, run: Run) -> None:
        recipe = run.recipe()
        if not isinstance(recipe, TextAudioRecipe):
            raise UsageError(f"{run.store.root}: was trained for task {recipe.task} and knows no words")
        self.recipe = recipe
        set_up_torch(recipe.machine, 1)
        network, self.tokenizer = restored_network(run, recipe, kept_of(run, recipe))
        load_model(run.store, MODEL, network)
        self.device = torch.device("cuda" if on_cuda(recipe.machine) else "cpu")
        self.network = network.to(self.device).eval()

    @property
    def knows_tags_only(self) -> bool:
        """Whether the model was taught tags as classes, so that a sentence means nothing to it."""
        return self.network.shares_texts

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embeddings of texts, (N, D); of unit length but for centroids."""
        parts = [np.zeros((0, self.recipe.model.embedding), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(texts), CROPS_AT_ONCE):
                tokens = tokenize(self.tokenizer, texts[start : start + CROPS_AT_ONCE])
                ids, mask = torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)
                parts.append(self.network.embed_text(ids.to(self.device), mask.to(self.device)).cpu().numpy())
        return np.concatenate(parts)

    def tracks(
        self, reader: ClipReader, track_ids: Sequence[str], advance: Callable[[int], None] = lambda _: None
    ) -> Vectors:
        """Unit embeddings of whole tracks, (N, D): the mean over the crops of all clips, then l2 (TTMR 3.3).

        Every frame is heard; the last crop of a clip is aligned to its end. `advance` is told of tracks done.
        """
        groups = list(_groups(reader, track_ids, self.recipe.data.crop_frames))
        rows = [np.zeros((0, self.recipe.model.embedding), np.float32)]

        def read(number: int) -> tuple[Array, list[int]]:
            crops = groups[number]
            return reader.read([crop for track in crops for crop in track]), [len(track) for track in crops]

        machine = self.recipe.machine
        with torch.inference_mode():
            for mels, counts in ahead(read, range(len(groups)), threads=machine.readers, depth=machine.ahead):
                vectors = self.network.embed_audio(torch.from_numpy(mels).to(self.device)).cpu().numpy()
                for part in np.split(vectors, np.cumsum(counts)[:-1]):
                    mean = part.mean(axis=0)
                    rows.append((mean / max(float(np.linalg.norm(mean)), 1e-12))[None].astype(np.float32))
                advance(len(counts))
        return np.concatenate(rows)


def _groups(reader: ClipReader, track_ids: Sequence[str], frames: int) -> Iterator[list[list[Any]]]:
    """Tracks' covering crops, in portions of about `CROPS_AT_ONCE`."""
    group: list[list[Any]] = []
    size = 0
    for track in track_ids:
        crops = [crop for clip in reader.clips[track] for crop in covering_crops(clip, frames)]
        group.append(crops)
        size += len(crops)
        if size >= CROPS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def check_feature(run: Run, dataset: Dataset, reader: ClipReader) -> None:
    """Check that a dataset's feature is the one that the run was trained on.

    Raises:
        UsageError: its specification differs; the message names the key.
    """
    known = run.read_json(DATA)
    here = dataset.identity(str(known["feature"]), reader.spec)["feature_spec"]
    changed = first_difference(known["feature_spec"], here)
    if changed:
        key, old, new = changed
        raise UsageError(
            f"{dataset.store.root}: its feature {known['feature']!r} has {key}: {new}, and {run.store.root} was "
            f"trained on {old}; build the dataset with the same feature"
        )
