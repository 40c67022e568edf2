"""`search`: a dataset's tracks in the order in which a sentence, tags or a sound describes them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.digests import canonical_json
from schemas.errors import UsageError, fault_of_file, suggest
from schemas.table import META_KEY
from schemas.tables import LABELS, TRACKS
from train.data.dataset import Dataset
from train.data.vocabulary import unknown_only, without_spelt
from train.evaluate.asked import unwatched
from train.evaluate.embed import Embedder, Vectors, check_feature
from train.models.texts import text_module
from train.run import EMBEDDINGS, MODEL, TRAIN_TAGS, Run

CACHE_VERSION = 1
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """One track of a search. `score` is the cosine of the track's and the query's embedding."""

    rank: int
    score: float
    track_id: str
    title: str | None
    artist: str | None
    tags: tuple[str, ...]
    split: str | None
    audio_uri: str | None

    def row(self) -> dict[str, Any]:
        """As a mapping of plain values."""
        return {**asdict(self), "tags": list(self.tags)}


class Index:
    """A dataset's tracks in a run's joint space, loaded once and asked as often as one likes.

    The tracks' embeddings are kept in the run, and made again when the model or the clips changed.

    Attributes:
        track_ids: every track that has a clip, (N,).
        vectors: their embeddings, of unit length, (N, D).

    Raises:
        UsageError: no trained run, no dataset, or one of another feature.
        DataError: damaged files.
    """

    def __init__(self, run: Run, data: str, advance: Callable[[int, int], None] = unwatched) -> None:
        self._run = run
        self._ears: Any = None
        self._embedder = Embedder(run)
        section, dataset = self._embedder.recipe.data, Dataset(data)
        self.track_ids, self.vectors = _embeddings(run, dataset, self._embedder, advance)
        splits = dataset.split_of(section.scheme, section.fold)
        self._splits = np.array([splits.get(track, "") for track in self.track_ids], dtype=np.str_)
        self._known = set(splits.values())
        self._taught = _taught(run, self._embedder.recipe.model.text.kind)
        self._about = _columns(dataset, TRACKS, ["title", "artist_name", "audio_uri"])
        self._tags = _columns(dataset, LABELS, ["tags"])

    def said(self, text: str) -> Vector:
        """Where a sentence lies, (D,).

        Raises:
            UsageError: it is empty, or the vocabulary knows no piece of it.
        """
        if not text.strip():
            raise UsageError('the query is empty; say what to look for, such as "calm piano"')
        if unknown_only(self._embedder.tokenizer, text):
            raise UsageError(
                f"{text!r}: the run's vocabulary knows no part of it; use words of the dataset's captions"
            )
        if self._taught:
            text = without_spelt(self._embedder.tokenizer, text, self._taught)
        vector: Vector = self._embedder.texts([text])[0]
        return vector

    def tagged(self, tags: Sequence[str]) -> Vector:
        """Where several tags together lie, (D,): as one text, or for a model that knows tags only their mean.

        Raises:
            UsageError: a tag is empty, or the vocabulary knows no piece of it.
        """
        if self._embedder.knows_tags_only:
            mean: Vector = np.mean([self.said(tag) for tag in tags], axis=0)
            return mean
        for tag in tags:
            self.said(tag)
        return self.said(self._embedder.recipe.text.separator.join(tags))

    def heard(self, file: str) -> Vector:
        """Where the sound of a file lies, (D,).

        Raises:
            UsageError: the run's feature cannot be computed here.
            DataError: the file is missing, no audio, too short or silent.
        """
        if self._ears is None:
            # By name: the module that loads models imports this package.
            self._ears = importlib.import_module("train").load(self._run.store.root)
        vector: Vector = self._ears.embed_audio(file)[0]
        return vector

    def nearest(self, query: Vector, *, top: int = 10, split: str | None = None) -> list[Found]:
        """The `top` tracks nearest to a point (D,), best first; equal scores in the order of ids.

        Args:
            split: only tracks of this split.

        Raises:
            UsageError: fewer than 1 wanted, or an unknown split.
        """
        if top < 1:
            raise UsageError(f"--top {top}: give at least 1")
        if split is not None and split not in self._known:
            raise UsageError(f"--split {split}: no track is in it{suggest(split, self._known)}")
        scores = self.vectors @ query
        rows = np.arange(len(scores)) if split is None else np.flatnonzero(self._splits == split)
        return [self._found(rank, row, scores[row]) for rank, row in enumerate(best(scores, rows, top), start=1)]

    def _found(self, rank: int, row: int, score: float) -> Found:
        track = self.track_ids[row]
        title, artist, audio_uri = self._about.get(track, (None, None, None))
        (tags,) = self._tags.get(track, ((),))
        split = str(self._splits[row]) or None
        return Found(rank, round(float(score), 6), track, title, artist, tuple(tags), split, audio_uri)


def _taught(run: Run, kind: str) -> frozenset[str]:
    """The words of the tags that a vocabulary was learnt from; none where it is a published one, or of captions."""
    if not getattr(text_module(kind), "LEARNS_ITS_VOCABULARY", False):
        return frozenset()
    return frozenset(word for tag in run.read_json(TRAIN_TAGS).get("tags", ()) for word in str(tag).lower().split())


def best(scores: npt.NDArray[Any], rows: npt.NDArray[np.intp], top: int) -> list[int]:
    """Of some rows the `top` with the highest scores, best first; of equal ones the lower row."""
    if len(rows) > top:
        # Those that score as high as the last to be told, with all that tie with it.
        least = np.partition(scores[rows], len(rows) - top)[len(rows) - top]
        rows = rows[scores[rows] >= least]
    order = np.argsort(-scores[rows], kind="stable")[:top]
    return [int(row) for row in rows[order]]


def _columns(dataset: Dataset, table: Any, columns: list[str]) -> dict[str, tuple[Any, ...]]:
    """Columns of a table by track id; nothing where the dataset lacks the table."""
    if not dataset.has(table):
        return {}
    read = dataset.read(table, ["track_id", *columns])
    return dict(zip(read["track_id"], zip(*(read[name] for name in columns), strict=True), strict=True))


def _embeddings(
    run: Run, dataset: Dataset, embedder: Embedder, advance: Callable[[int, int], None]
) -> tuple[list[str], Vectors]:
    """Every track of the dataset that has a clip, (N,), and its embedding, (N, D)."""
    feature = embedder.recipe.data.feature
    key = {
        "version": CACHE_VERSION,
        "model": run.store.sha256(MODEL),
        "clips": dataset.features_digest(feature),
    }
    cached = _cached(run, key)
    if cached is not None:
        return cached
    reader = dataset.reader(feature)
    check_feature(run, dataset, reader)
    track_ids = list(reader.clips)
    vectors = embedder.tracks(reader, track_ids, lambda more: advance(more, len(track_ids)))
    write_cache(run, key, track_ids, vectors)
    return track_ids, vectors


def write_cache(run: Run, key: dict[str, Any], track_ids: Sequence[str], vectors: Vectors) -> None:
    """Keep the embeddings of one model and one set of clips, which the key names."""
    flat = pa.array(vectors.reshape(-1))
    table = pa.table(
        {
            "track_id": pa.array(track_ids, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    ).replace_schema_metadata({META_KEY: canonical_json(key).encode()})
    with run.store.writing(EMBEDDINGS) as stream:
        pq.write_table(table, stream, compression="none")


def _cached(run: Run, key: dict[str, Any]) -> tuple[list[str], Vectors] | None:
    """The cache, if it is there, whole and of this key."""
    try:
        with run.store.open(EMBEDDINGS) as stream:
            table = pq.read_table(stream)
        if json.loads((table.schema.metadata or {})[META_KEY]) != key:
            return None
        column = table.column("vector").combine_chunks()
        vectors = column.flatten().to_numpy().reshape(table.num_rows, -1)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        fault_of_file(error)
        return None  # a cache that cannot be read is made again
    return table.column("track_id").to_pylist(), vectors
