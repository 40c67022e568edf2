"""The figures of a dataset's test split, for whatever gives vectors of tracks and of texts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.errors import UsageError
from schemas.tables import PAIRS, TAGS
from train.data.dataset import Dataset
from train.data.text import labels_of
from train.evaluate.asked import unwatched
from train.evaluate.probe import Kind, Rows, efficiency, probe, trainings
from train.evaluate.retrieval import pairs_metrics
from train.evaluate.tagging import Vocabulary, tag_figures
from train.recipe import DataSection

Vectors = npt.NDArray[np.float32]
PROBES: tuple[Kind, ...] = ("linear", "mlp")
TOP = 50
"""Of larger vocabularies the most frequent tags are averaged by themselves as well (TTMR 3.3)."""


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


@dataclass(frozen=True)
class Pairs:
    """Fixed pairs of a test split.

    Attributes:
        tracks, captions: of each pair.
        without_clip, outside_split: how many pairs cannot be measured, and why.
    """

    tracks: list[str]
    captions: list[str]
    without_clip: int
    outside_split: int


@dataclass(frozen=True)
class Groups:
    """Tags that are averaged by themselves as well.

    Attributes:
        named: tags by the name of their group.
        seen: the tags that the model was trained on, as `spoken` writes them; None where nobody knows.
    """

    named: Mapping[str, Collection[str]] = field(default_factory=dict)
    seen: Collection[str] | None = None

    def columns(self, tags: list[str], tracks: list[int]) -> dict[str, list[int]]:
        """Columns by group, of `tags` that stand on so many `tracks`; groups without a tag are left out."""
        found: dict[str, list[int]] = {}
        if len(tags) > TOP:
            first = sorted(range(len(tags)), key=lambda column: (-tracks[column], tags[column]))[:TOP]
            found[f"top {TOP}"] = sorted(first)
        for name, wanted in self.named.items():
            said = {spoken(tag) for tag in wanted}
            found[name] = [column for column, tag in enumerate(tags) if spoken(tag) in said]
        if self.seen is not None:
            met = [spoken(tag) in self.seen for tag in tags]
            if not all(met):
                found["seen in training"] = [column for column, known in enumerate(met) if known]
                found["unseen in training"] = [column for column, known in enumerate(met) if not known]
        return {name: columns for name, columns in found.items() if columns}


def spoken(tag: str) -> str:
    """A tag as it is compared with those of another dataset: whatever its case and spaces."""
    return " ".join(tag.casefold().split())


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


def fixed_pairs(heard: Heard, present: Collection[str]) -> Pairs | None:
    """The dataset's fixed pairs that can be measured; None where there are none, which a note then says.

    Args:
        present: the tracks that have a clip or a vector.
    """
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
    without = sum(track not in present for track, _ in pairs)
    return Pairs([track for track, _ in usable], [caption for _, caption in usable], without, outside)


def retrieval(heard: Heard, sayer: Sayer, pairs: Pairs | None) -> dict[str, Any] | None:
    """Sentence to music, on the dataset's fixed pairs; None where there are none."""
    if pairs is None:
        return None
    scores = sayer.pair_scores(pairs.captions, heard.of(pairs.tracks), pairs.tracks)
    return {
        **pairs_metrics(scores, pairs.captions, heard.artists(pairs.tracks)),
        "without_clip": pairs.without_clip,
        "outside_split": pairs.outside_split,
        "ties": "what is not relevant ranks first",
    }


def zero_shot(heard: Heard, sayer: Sayer, groups: Groups) -> dict[str, Any] | None:
    """Tags told by the distance to their text; None where the test tracks have none, which a note then says.

    Beside the figures of `tag_figures`, a row of `by_tag` says whether the tag was `seen` in training, where
    that is known.
    """
    table = _tags(heard.dataset)
    known = [row for row, tag in enumerate(table["tag"]) if sayer.knows(tag)]
    if len(known) < len(table["tag"]):
        left_out = len(table["tag"]) - len(known)
        heard.notes.append(f"{left_out} tags are unknown to the model and are left out of tagging.")
    table = {name: [column[row] for row in known] for name, column in table.items()}
    tagged = heard.tagged(heard.section.test)
    if not table["tag"] or not tagged:
        heard.notes.append("The test tracks have no tags, so tagging is not measured.")
        return None
    scores = heard.of(tagged) @ sayer.texts(table["tag"]).T
    labels = _labels(heard, tagged, table["tag"])
    found = tag_figures([scores], labels, _vocabulary(table, groups), heard.artists(tagged))
    if groups.seen is not None:
        for row in found["by_tag"]:
            row["seen"] = spoken(row["tag"]) in groups.seen
    return found


def probed(
    heard: Heard,
    groups: Groups,
    percents: Sequence[float] = (),
    trained: Callable[[int, int], None] = unwatched,
) -> dict[str, Any]:
    """Tags told by probes trained on the train split.

    Args:
        percents: parts of the train split's labelled tracks that probes are trained on as well.
        trained: told of each training: 1 more, of how many.

    Returns:
        `probes` by kind, None where there can be none, which a note then says; with `percents` also
        `data_efficiency` by kind, rows as of `train.evaluate.probe.efficiency`.
    """
    section, table = heard.section, _tags(heard.dataset)
    parts = {}
    for name, splits in (("train", section.train), ("valid", section.valid), ("test", section.test)):
        tracks = heard.tagged(splits)
        if not tracks:
            heard.notes.append(f"No track of {name} has tags and a vector, so nothing is probed.")
            return {"probes": None}
        parts[name] = Rows(heard.of(tracks), _labels(heard, tracks, table["tag"]), heard.artists(tracks))
    vocabulary = _vocabulary(table, Groups(groups.named))
    parts_learnt = 1 + sum(percent < 100 for percent in percents)
    total = parts_learnt * sum(trainings(kind) for kind in PROBES)

    def advance() -> None:
        trained(1, total)

    try:
        found = {kind: probe(kind, parts, vocabulary, advance) for kind in PROBES}
    except ValueError as error:
        heard.notes.append(f"Nothing is probed: {error}.")
        return {"probes": None}
    if not percents:
        return {"probes": found}
    curves = {kind: efficiency(kind, parts, vocabulary, percents, found[kind], advance) for kind in PROBES}
    return {"probes": found, "data_efficiency": curves}


def _tags(dataset: Dataset) -> dict[str, list[Any]]:
    columns = ["tag", "category", "n_tracks"]
    return dataset.read(TAGS, columns) if dataset.has(TAGS) else {name: [] for name in columns}


def _vocabulary(table: Mapping[str, list[Any]], groups: Groups) -> Vocabulary:
    columns = groups.columns(table["tag"], table["n_tracks"])
    return Vocabulary(tuple(table["tag"]), tuple(table["category"]), columns)


def _labels(heard: Heard, tracks: Collection[str], tags: list[str]) -> npt.NDArray[np.bool_]:
    texts = heard.dataset.texts
    return labels_of([texts[track] for track in tracks], {tag: column for column, tag in enumerate(tags)})
