"""`evaluate RUN`: a run's metrics on the test split of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.dataset import Dataset
from train.data.reader import ClipReader
from train.data.vocabulary import unknown_only
from train.evaluate.annotated import best_f1_thresholds, overlap_scores
from train.evaluate.asked import Asked
from train.evaluate.embed import Embedder, Vectors, check_feature
from train.evaluate.examples import about, answered, chosen_queries
from train.evaluate.figures import Groups, Heard, Pairs, fixed_pairs, probed, retrieval, tracks_of, zero_shot
from train.evaluate.met import Met
from train.evaluate.recorded import is_own
from train.evaluate.space import Space, space_of, write_space
from train.models.texts.words import SPECIAL
from train.run import SPACE, Run

SPACE_TRACKS = 1000


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


def measure(run: Run, data: str, asked: Asked) -> dict[str, Any]:
    """Measure a run on a dataset, in the words of `metrics.json`.

    On the run's own dataset, RUN/space.parquet is written as well.

    Args:
        run: a trained run.
        data: the dataset directory.

    Raises:
        UsageError: no trained run, no test tracks, or another feature than the run's.
        DataError: damaged files.
    """
    embedder = Embedder(run)
    own = embedder.recipe.data
    section = asked.section(own)
    dataset = Dataset(data)
    reader = dataset.reader(section.feature)
    check_feature(run, dataset, reader)
    tested, without = tracks_of(dataset, section, reader.clips)
    splits = dataset.split_of(section.scheme, section.fold)
    tracks = tested
    if asked.probing:
        learnt = {*section.train, *section.valid, *section.test}
        tracks = sorted(track for track in reader.clips if splits.get(track) in learnt)
    vectors = embedder.tracks(reader, tracks, lambda more: asked.embedded(more, len(tracks)))
    notes: list[str] = []
    heard = Heard(dataset, section, splits, {track: row for row, track in enumerate(tracks)}, vectors, notes)
    words = _annotator(dataset, reader, embedder, notes) if embedder.knows_tags_only else Words(embedder)
    met = Met(run, own)
    groups = Groups(asked.groups, met.tags())
    pairs = fixed_pairs(heard, reader.clips)
    identity = {key: dataset.identity(section.feature, reader.spec)[key] for key in ("name", "manifest")}
    found = {
        "task": embedder.recipe.task,
        "split": "+".join(section.test),
        "scheme": section.scheme,
        "fold": section.fold,
        "data": identity,
        "tracks": len(tested),
        "tracks_without_clip": without,
        "retrieval": retrieval(heard, words, pairs),
        "tagging": zero_shot(heard, words, groups),
        "trained_on": met.shared(dataset, tested),
        **(probed(heard, groups, asked.percents, asked.trained) if asked.probing else {}),
        "notes": notes,
    }
    if groups.seen is None:
        notes.append("Which tags were seen in training is not known: the run does not say.")
    if found["trained_on"] is None:
        notes.append("Whether its artists were trained on is not known: the run's dataset is not at hand.")
    tags = [(row["tag"], row["category"]) for row in (found["tagging"] or {"by_tag": []})["by_tag"]]
    found["examples"] = _examples(heard, words, found["tagging"], pairs, tested)
    if is_own(run, found):
        write_space(run.store, SPACE, _space(heard, words, pairs or Pairs([], [], 0, 0), tags))
    return found


def _examples(
    heard: Heard, words: Words, tagging: dict[str, Any] | None, pairs: Pairs | None, tested: list[str]
) -> list[dict[str, Any]]:
    by_tag = tagging["by_tag"] if tagging else []
    texts = heard.dataset.texts
    of_tag = {
        row["tag"]: frozenset(t for t in tested if t in texts and row["tag"] in texts[t].tags) for row in by_tag
    }
    captions, tracks = (pairs.captions, pairs.tracks) if pairs else ([], [])
    queries = chosen_queries(by_tag, of_tag, captions, tracks)
    audio = heard.of(tested)
    scores = np.zeros((len(queries), len(tested)), np.float32)
    for row, query in enumerate(queries):
        if query.kind == "caption":
            scores[row] = words.pair_scores([query.text], audio, tested)[0]
        else:
            scores[row] = audio @ words.texts([query.text])[0]
    return answered(queries, scores, tested, about(heard.dataset, tested))


def _space(heard: Heard, words: Words, pairs: Pairs, tags: list[tuple[str, str]]) -> Space:
    captions = [] if isinstance(words, Annotator) else sorted(set(pairs.captions))
    names, categories = [tag for tag, _ in tags], [category for _, category in tags]
    audio = sorted(set(pairs.tracks)) or heard.tagged(heard.section.test)[:SPACE_TRACKS]
    return space_of(
        (audio, heard.of(audio)), (captions, words.texts(captions)), (names, categories, words.texts(names))
    )
