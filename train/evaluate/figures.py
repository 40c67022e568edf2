"""The figures of a dataset's test split, for whatever gives vectors of tracks and of texts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.errors import UsageError
from schemas.tables import PAIRS, TAGS
from train.data.dataset import Dataset
from train.data.text import labels_of
from train.evaluate.bootstrap import tagging_intervals
from train.evaluate.probe import Kind, Rows, probe
from train.evaluate.retrieval import pairs_metrics
from train.evaluate.tagging import tagging_metrics
from train.recipe import DataSection

Vectors = npt.NDArray[np.float32]
PROBES: tuple[Kind, ...] = ("linear", "mlp")


class Sayer(Protocol):
    """The text side of a model."""

    def knows(self, text: str) -> bool:
        """Whether any part of the text means something to it."""

    def texts(self, texts: list[str]) -> Vectors:
        """Embeddings of texts, (N, D)."""

    def pair_scores(self, captions: list[str], audio: Vectors, track_ids: list[str]) -> npt.NDArray[Any]:
        """How well each caption describes each track, (captions, tracks)."""


@dataclass(frozen=True)
class Heard:
    """The tracks of some splits that have a vector.

    Attributes:
        splits: of every track, in the section's scheme and fold.
        rows: by track id.
        vectors: (N, D).
        notes: gathers what a person should know.
    """

    dataset: Dataset
    section: DataSection
    splits: Mapping[str, str]
    rows: Mapping[str, int]
    vectors: Vectors
    notes: list[str]

    def of(self, track_ids: Collection[str]) -> Vectors:
        """The vectors of some tracks, in their order."""
        return self.vectors[[self.rows[track] for track in track_ids]]

    def artists(self, track_ids: Collection[str]) -> list[str]:
        """Who made each track; of whom nothing is known stands for himself."""
        texts = self.dataset.texts
        known = ((track, texts[track].artist_id if track in texts else None) for track in track_ids)
        return [artist or track for track, artist in known]

    def tagged(self, names: Collection[str]) -> list[str]:
        """The tracks of these splits that have tags, sorted."""
        texts = self.dataset.texts
        wanted = (track for track, split in self.splits.items() if split in names and track in self.rows)
        return sorted(track for track in wanted if track in texts and texts[track].tags)


def tracks_of(dataset: Dataset, section: DataSection, present: Collection[str]) -> tuple[list[str], int]:
    """The test tracks that are present, sorted, and how many are not.

    Raises:
        UsageError: there are none to measure on.
    """
    splits = dataset.split_of(section.scheme, section.fold)
    in_split = sorted(track for track, split in splits.items() if split in section.test)
    heard = [track for track in in_split if track in present]
    if not heard:
        raise UsageError(
            f"{dataset.store.root}: no track in split {' or '.join(sorted(section.test))} has a clip, so there is "
            "nothing to measure; give splits.ratios of the manifest a test part, or more artists"
        )
    return heard, len(in_split) - len(heard)


def retrieval(heard: Heard, sayer: Sayer, present: Collection[str]) -> dict[str, Any] | None:
    """Sentence to music, on the dataset's fixed pairs; None where there are none, which a note then says."""
    dataset, section, notes = heard.dataset, heard.section, heard.notes
    if not dataset.has(PAIRS):
        notes.append("The dataset has no pairs.parquet, so retrieval is not measured.")
        return None
    table = dataset.read(PAIRS)
    chosen = (section.scheme, section.fold)
    rows_of = zip(table["scheme"], table["fold"], table["track_id"], table["caption"], strict=True)
    pairs = [(track, caption) for scheme, fold, track, caption in rows_of if (scheme, fold) == chosen]
    usable = [p for p in pairs if p[0] in heard.rows and heard.splits.get(p[0]) in section.test]
    if not usable:
        notes.append("No retrieval pair is of a test track with a clip, so retrieval is not measured.")
        return None
    outside = sum(heard.splits.get(track) not in section.test for track, _ in pairs)
    if outside:
        notes.append(f"{outside} retrieval pairs are not of the test split and are left out.")
    tracks, captions = [track for track, _ in usable], [caption for _, caption in usable]
    return {
        **pairs_metrics(sayer.pair_scores(captions, heard.of(tracks), tracks), captions, heard.artists(tracks)),
        "without_clip": sum(track not in present for track, _ in pairs),
        "outside_split": outside,
        "ties": "what is not relevant ranks first",
    }


def zero_shot(heard: Heard, sayer: Sayer) -> dict[str, Any] | None:
    """Tags told by the distance to their text; None where the test tracks have none, which a note then says."""
    table = _vocabulary(heard.dataset)
    known = [sayer.knows(tag) for tag in table["tag"]]
    if not all(known):
        heard.notes.append(f"{known.count(False)} tags are unknown to the model and are left out of tagging.")
    vocabulary = {name: [v for v, k in zip(column, known, strict=True) if k] for name, column in table.items()}
    tagged = heard.tagged(heard.section.test)
    if not vocabulary["tag"] or not tagged:
        heard.notes.append("The test tracks have no tags, so tagging is not measured.")
        return None
    labels = _labels(heard, tagged, vocabulary["tag"])
    scores = heard.of(tagged) @ sayer.texts(vocabulary["tag"]).T
    return {
        **tagging_metrics(scores, labels, vocabulary["category"]),
        "intervals": tagging_intervals(scores, labels, heard.artists(tagged)),
    }


def probes(heard: Heard, advance: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
    """Tags told by probes trained on the train split; None where they cannot be, which a note then says."""
    vocabulary, section = _vocabulary(heard.dataset), heard.section
    parts = {}
    for name, splits in (("train", section.train), ("valid", section.valid), ("test", section.test)):
        tracks = heard.tagged(splits)
        if not tracks:
            heard.notes.append(f"No track of {name} has tags and a vector, so nothing is probed.")
            return None
        parts[name] = Rows(heard.of(tracks), _labels(heard, tracks, vocabulary["tag"]), heard.artists(tracks))
    try:
        return {kind: probe(kind, parts, vocabulary["category"], advance) for kind in PROBES}
    except ValueError as error:
        heard.notes.append(f"Nothing is probed: {error}.")
        return None


def _vocabulary(dataset: Dataset) -> dict[str, list[str]]:
    return dataset.read(TAGS, ["tag", "category"]) if dataset.has(TAGS) else {"tag": [], "category": []}


def _labels(heard: Heard, tracks: Collection[str], tags: list[str]) -> npt.NDArray[np.bool_]:
    texts = heard.dataset.texts
    return labels_of([texts[track] for track in tracks], {tag: column for column, tag in enumerate(tags)})
