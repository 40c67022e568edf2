"""`evaluate RUN`: a run's metrics on the test split of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.dataset import Dataset
from train.data.reader import ClipReader
from train.data.vocabulary import unknown_only
from train.evaluate.annotated import best_f1_thresholds, overlap_scores
from train.evaluate.embed import Embedder, Vectors, check_feature, unwatched
from train.evaluate.figures import Heard, probes, retrieval, tracks_of, zero_shot
from train.models.texts.words import SPECIAL
from train.run import Run


@dataclass(frozen=True)
class Words:
    """The text side of a run: scores are cosines."""

    embedder: Embedder

    def knows(self, text: str) -> bool:
        """Whether its vocabulary has a piece of the text."""
        return not unknown_only(self.embedder.tokenizer, text)

    def texts(self, texts: list[str]) -> Vectors:
        """Embeddings of texts, (N, D)."""
        return self.embedder.texts(texts)

    def pair_scores(self, captions: list[str], audio: Vectors, track_ids: list[str]) -> npt.NDArray[Any]:
        """(captions, tracks)."""
        return self.texts(captions) @ audio.T


@dataclass(frozen=True)
class Annotator(Words):
    """The text side of a run that knows tags only; see `train.evaluate.annotated`.

    Attributes:
        tags: of its vocabulary.
        centroids: (tags, D).
        thresholds: (tags,), fitted on the valid split.
    """

    tags: list[str]
    centroids: Vectors
    thresholds: npt.NDArray[np.float64]

    def pair_scores(self, captions: list[str], audio: Vectors, track_ids: list[str]) -> npt.NDArray[Any]:
        """(captions, tracks)."""
        return overlap_scores(captions, audio @ self.centroids.T >= self.thresholds, self.tags, track_ids)


def _annotator(dataset: Dataset, reader: ClipReader, embedder: Embedder, notes: list[str]) -> Annotator:
    section, texts = embedder.recipe.data, dataset.texts
    splits = dataset.split_of(section.scheme, section.fold)
    there = (track for track, split in splits.items() if split in section.valid and track in reader.clips)
    tracks = sorted(track for track in there if track in texts and texts[track].tags)
    vocabulary = embedder.tokenizer.get_vocab()
    tags = sorted((tag for tag in vocabulary if tag not in SPECIAL), key=vocabulary.__getitem__)
    centroids = embedder.texts(tags)
    # As typed in this dataset, each tag has the column of what the vocabulary takes it for.
    typed = {tag for track in tracks for tag in texts[track].tags}
    columns = {tag: embedder.tokenizer.encode(tag).ids[0] - len(SPECIAL) for tag in typed}
    labels = np.zeros((len(tracks), len(tags)), np.bool_)
    for row, track in enumerate(tracks):
        labels[row, [columns[tag] for tag in texts[track].tags if columns[tag] >= 0]] = True
    thresholds = best_f1_thresholds(embedder.tracks(reader, tracks) @ centroids.T, labels)
    never = int(np.isinf(thresholds).sum())
    if never:
        notes.append(f"{never} tags are on no valid track, so no track is annotated with them.")
    return Annotator(embedder, tags, centroids, thresholds)


def measure(
    run: Run, data: str, advance: Callable[[int, int], None] = unwatched, *, probing: bool = False
) -> dict[str, Any]:
    """Measure a run on a dataset; the result is what `metrics.json` holds.

    Args:
        run: a trained run.
        data: the dataset directory.
        advance: told of tracks embedded (more, in all).
        probing: train probes on the train split's embeddings as well.

    Raises:
        UsageError: no trained run, no test tracks, or another feature than the run's.
        DataError: damaged files.
    """
    embedder = Embedder(run)
    section = embedder.recipe.data
    dataset = Dataset(data)
    reader = dataset.reader(section.feature)
    check_feature(run, dataset, reader)
    tracks, without = tracks_of(dataset, section, reader.clips)
    splits = dataset.split_of(section.scheme, section.fold)
    measured = len(tracks)
    if probing:
        learnt = {*section.train, *section.valid, *section.test}
        tracks = sorted(track for track in reader.clips if splits.get(track) in learnt)
    vectors = embedder.tracks(reader, tracks, lambda more: advance(more, len(tracks)))
    notes: list[str] = []
    heard = Heard(dataset, section, splits, {track: row for row, track in enumerate(tracks)}, vectors, notes)
    words = _annotator(dataset, reader, embedder, notes) if embedder.knows_tags_only else Words(embedder)
    return {
        "split": "+".join(section.test),
        "data": {key: dataset.identity(section.feature, reader.spec)[key] for key in ("name", "manifest")},
        "tracks": measured,
        "tracks_without_clip": without,
        "retrieval": retrieval(heard, words, reader.clips),
        "tagging": zero_shot(heard, words),
        **({"probes": probes(heard)} if probing else {}),
        "notes": notes,
    }
