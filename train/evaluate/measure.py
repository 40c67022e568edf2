"""`evaluate`: a run's metrics on the test split of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import UsageError
from schemas.tables import PAIRS, TAGS
from train.data.dataset import Dataset
from train.data.reader import ClipReader
from train.data.text import labels_of
from train.data.vocabulary import unknown_only
from train.evaluate.annotated import best_f1_thresholds, overlap_scores
from train.evaluate.embed import Embedder, Vectors, check_feature, unwatched
from train.evaluate.retrieval import pairs_metrics
from train.evaluate.tagging import tagging_metrics
from train.models.texts.words import SPECIAL
from train.run import METRICS, Run


@dataclass(frozen=True)
class Annotator:
    """Answers sentences for a model that knows tags only; see `train.evaluate.annotated`.

    Attributes:
        tags: of the model's vocabulary.
        centroids: (tags, D).
        thresholds: (tags,), fitted on the valid split.
    """

    tags: list[str]
    centroids: Vectors
    thresholds: npt.NDArray[np.float64]

    def scores(self, captions: list[str], audio: Vectors, track_ids: list[str]) -> npt.NDArray[np.float64]:
        """(captions, tracks)."""
        return overlap_scores(captions, audio @ self.centroids.T >= self.thresholds, self.tags, track_ids)


def _annotator(
    dataset: Dataset, reader: ClipReader, embedder: Embedder, splits: Mapping[str, str], notes: list[str]
) -> Annotator:
    names = set(embedder.recipe.data.valid)
    texts = dataset.texts
    tracks = sorted(t for t, split in splits.items() if split in names and t in reader.clips and t in texts)
    vocabulary = embedder.tokenizer.get_vocab()
    tags = sorted((tag for tag in vocabulary if tag not in SPECIAL), key=vocabulary.__getitem__)
    centroids = embedder.texts(tags)
    labels = labels_of([texts[track] for track in tracks], {tag: column for column, tag in enumerate(tags)})
    thresholds = best_f1_thresholds(embedder.tracks(reader, tracks) @ centroids.T, labels)
    never = int(np.isinf(thresholds).sum())
    if never:
        notes.append(f"{never} tags are on no valid track, so no track is annotated with them.")
    return Annotator(tags, centroids, thresholds)


def measure(run: Run, data: str, advance: Callable[[int, int], None] = unwatched) -> dict[str, Any]:
    """Measure a run on a dataset, write `metrics.json` and return its content.

    Args:
        run: a trained run.
        data: the dataset directory.
        advance: told of tracks embedded (more, in all).

    Raises:
        UsageError: no trained run, no test tracks, or another feature than the run's.
        DataError: damaged files.
    """
    recipe = run.recipe()
    dataset = Dataset(data)
    reader = dataset.reader(recipe.data.feature)
    check_feature(run, dataset, reader)
    splits = dataset.split_of(recipe.data.scheme, recipe.data.fold)
    names = set(recipe.data.test)
    in_split = sorted(track for track, split in splits.items() if split in names)
    heard = [track for track in in_split if track in reader.clips]
    if not heard:
        raise UsageError(
            f"{data}: no track in split {' or '.join(sorted(names))} has a clip, so there is nothing to measure; "
            "give splits.ratios of the manifest a test part, or more artists"
        )
    embedder = Embedder(run)
    vectors = embedder.tracks(reader, heard, lambda more: advance(more, len(heard)))
    rows = {track: row for row, track in enumerate(heard)}
    notes: list[str] = []
    annotator = _annotator(dataset, reader, embedder, splits, notes) if embedder.knows_tags_only else None
    metrics = {
        "split": "+".join(recipe.data.test),
        "data": {key: dataset.identity(recipe.data.feature, reader.spec)[key] for key in ("name", "manifest")},
        "tracks": len(heard),
        "tracks_without_clip": len(in_split) - len(heard),
        "retrieval": _retrieval(dataset, reader, embedder, vectors, rows, splits, notes, annotator),
        "tagging": _tagging(dataset, embedder, vectors, rows, notes),
        "notes": notes,
    }
    run.write_json(METRICS, metrics)
    return metrics


def _retrieval(
    dataset: Dataset,
    reader: ClipReader,
    embedder: Embedder,
    vectors: Vectors,
    rows: Mapping[str, int],
    splits: Mapping[str, str],
    notes: list[str],
    annotator: Annotator | None,
) -> dict[str, Any] | None:
    if not dataset.has(PAIRS):
        notes.append("The dataset has no pairs.parquet, so retrieval is not measured.")
        return None
    table = dataset.read(PAIRS)
    chosen = (embedder.recipe.data.scheme, embedder.recipe.data.fold)
    rows_of = zip(table["scheme"], table["fold"], table["track_id"], table["caption"], strict=True)
    pairs = [(track, caption) for scheme, fold, track, caption in rows_of if (scheme, fold) == chosen]
    usable = [(track, caption) for track, caption in pairs if track in rows]
    if not usable:
        notes.append("No retrieval pair is of a test track with a clip, so retrieval is not measured.")
        return None
    outside = sum(splits.get(track) not in embedder.recipe.data.test for track, _ in pairs)
    if outside:
        notes.append(f"{outside} retrieval pairs are not of the test split and are left out.")
    captions = [caption for _, caption in usable]
    audio = vectors[[rows[track] for track, _ in usable]]
    if annotator is None:
        scores = embedder.texts(captions) @ audio.T
    else:
        scores = annotator.scores(captions, audio, [track for track, _ in usable])
    return {
        **pairs_metrics(scores, captions),
        "without_clip": sum(track not in reader.clips for track, _ in pairs),
        "outside_split": outside,
        "ties": "what is not relevant ranks first",
    }


def _tagging(
    dataset: Dataset, embedder: Embedder, vectors: Vectors, rows: Mapping[str, int], notes: list[str]
) -> dict[str, Any] | None:
    table = dataset.read(TAGS, ["tag", "category"]) if dataset.has(TAGS) else {"tag": [], "category": []}
    known = [not unknown_only(embedder.tokenizer, tag) for tag in table["tag"]]
    if not all(known):
        notes.append(
            f"{known.count(False)} tags are unknown to the model's vocabulary and are left out of tagging."
        )
    vocabulary = {name: [v for v, k in zip(column, known, strict=True) if k] for name, column in table.items()}
    texts = dataset.texts
    tagged = [track for track in rows if track in texts and texts[track].tags]
    if not vocabulary["tag"] or not tagged:
        notes.append("The test tracks have no tags, so tagging is not measured.")
        return None
    columns = {tag: column for column, tag in enumerate(vocabulary["tag"])}
    labels = labels_of([texts[track] for track in tagged], columns)
    scores = vectors[[rows[track] for track in tagged]] @ embedder.texts(vocabulary["tag"]).T
    return tagging_metrics(scores, labels, vocabulary["category"])
