"""`evaluate`: a run's metrics on the test split of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from schemas.errors import UsageError
from schemas.tables import PAIRS, TAGS
from train.data.dataset import Dataset
from train.data.reader import ClipReader
from train.evaluate.embed import Embedder, Vectors, check_feature, unwatched
from train.evaluate.retrieval import pairs_metrics
from train.evaluate.tagging import tagging_metrics
from train.run import METRICS, Run


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
    metrics = {
        "split": "+".join(recipe.data.test),
        "data": {key: dataset.identity(recipe.data.feature, reader.spec)[key] for key in ("name", "manifest")},
        "tracks": len(heard),
        "tracks_without_clip": len(in_split) - len(heard),
        "retrieval": _retrieval(dataset, reader, embedder, vectors, rows, splits, notes),
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
    return {
        **pairs_metrics(audio, embedder.texts(captions), captions),
        "without_clip": sum(track not in reader.clips for track, _ in pairs),
        "outside_split": outside,
        "ties": "what is not relevant ranks first",
    }


def _tagging(
    dataset: Dataset, embedder: Embedder, vectors: Vectors, rows: Mapping[str, int], notes: list[str]
) -> dict[str, Any] | None:
    vocabulary = dataset.read(TAGS, ["tag", "category"]) if dataset.has(TAGS) else {"tag": [], "category": []}
    texts = dataset.texts
    tagged = [track for track in rows if track in texts and texts[track].tags]
    if not vocabulary["tag"] or not tagged:
        notes.append("The test tracks have no tags, so tagging is not measured.")
        return None
    columns = {tag: column for column, tag in enumerate(vocabulary["tag"])}
    labels = np.zeros((len(tagged), len(columns)), np.bool_)
    for row, track in enumerate(tagged):
        labels[row, [columns[tag] for tag in texts[track].tags if tag in columns]] = True
    scores = vectors[[rows[track] for track in tagged]] @ embedder.texts(vocabulary["tag"]).T
    return tagging_metrics(scores, labels, vocabulary["category"])
