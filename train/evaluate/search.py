"""`search`: a dataset's tracks in the order in which a sentence describes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.digests import canonical_json
from schemas.errors import UsageError, suggest
from schemas.table import META_KEY
from schemas.tables import TRACKS
from train.data.dataset import Dataset
from train.data.reader import ClipReader
from train.data.vocabulary import unknown_only
from train.evaluate.embed import Embedder, Vectors, check_feature, unwatched
from train.run import EMBEDDINGS, MODEL, Run

CACHE_VERSION = 1


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


def find(
    run: Run,
    data: str,
    query: str,
    *,
    top: int = 10,
    split: str | None = None,
    advance: Callable[[int, int], None] = unwatched,
) -> list[Found]:
    """The `top` tracks nearest to `query`, best first; equal scores in the order of ids.

    The tracks' embeddings are kept in the run, and made again when the model or the clips changed.

    Raises:
        UsageError: an empty query, one of which the vocabulary knows no piece, an unknown split.
        DataError: damaged files.
    """
    if top < 1:
        raise UsageError(f"--top {top}: give at least 1")
    if not query.strip():
        raise UsageError('the query is empty; say what to look for, such as "calm piano"')
    dataset = Dataset(data)
    embedder = Embedder(run)
    if unknown_only(embedder.tokenizer, query):
        raise UsageError(
            f"{query!r}: the run's vocabulary knows no part of it; use words of the dataset's captions"
        )
    reader = dataset.reader(embedder.recipe.data.feature)
    check_feature(run, dataset, reader)
    splits = dataset.split_of(embedder.recipe.data.scheme, embedder.recipe.data.fold)
    if split is not None and split not in splits.values():
        raise UsageError(f"--split {split}: no track is in it{suggest(split, set(splits.values()))}")
    track_ids, vectors = _embeddings(run, dataset, reader, embedder, advance)
    scores = vectors @ embedder.texts([query])[0]
    order = np.argsort(-scores, kind="stable")
    chosen = [i for i in order if split is None or splits.get(track_ids[i]) == split][:top]
    about = _about(dataset, [track_ids[i] for i in chosen])
    return [
        Found(
            rank=rank,
            score=round(float(scores[i]), 6),
            track_id=track_ids[i],
            title=about[track_ids[i]].get("title"),
            artist=about[track_ids[i]].get("artist_name"),
            tags=dataset.texts[track_ids[i]].tags if track_ids[i] in dataset.texts else (),
            split=splits.get(track_ids[i]),
            audio_uri=about[track_ids[i]].get("audio_uri"),
        )
        for rank, i in enumerate(chosen, start=1)
    ]


def _about(dataset: Dataset, track_ids: list[str]) -> dict[str, dict[str, Any]]:
    if not dataset.has(TRACKS):
        return {track: {} for track in track_ids}
    columns = ["track_id", "title", "artist_name", "audio_uri"]
    table = dataset.read(TRACKS, columns)
    wanted = set(track_ids)
    rows = zip(*(table[column] for column in columns), strict=True)
    found = {row[0]: dict(zip(columns, row, strict=True)) for row in rows if row[0] in wanted}
    return {track: found.get(track, {}) for track in track_ids}


def _embeddings(
    run: Run, dataset: Dataset, reader: ClipReader, embedder: Embedder, advance: Callable[[int, int], None]
) -> tuple[list[str], Vectors]:
    """Every track of the dataset that has a clip, (N,), and its embedding, (N, D)."""
    key = {
        "version": CACHE_VERSION,
        "model": run.store.sha256(MODEL),
        "clips": dataset.features_digest(embedder.recipe.data.feature),
    }
    cached = _cached(run, key)
    if cached is not None:
        return cached
    track_ids = list(reader.clips)
    vectors = embedder.tracks(reader, track_ids, lambda more: advance(more, len(track_ids)))
    flat = pa.array(vectors.reshape(-1))
    table = pa.table(
        {
            "track_id": pa.array(track_ids, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    ).replace_schema_metadata({META_KEY: canonical_json(key).encode()})
    with run.store.writing(EMBEDDINGS) as stream:
        pq.write_table(table, stream, compression="none")
    return track_ids, vectors


def _cached(run: Run, key: dict[str, Any]) -> tuple[list[str], Vectors] | None:
    """The cache, if it is there, whole and of this key."""
    try:
        with run.store.open(EMBEDDINGS) as stream:
            table = pq.read_table(stream)
        if json.loads((table.schema.metadata or {})[META_KEY]) != key:
            return None
        column = table.column("vector").combine_chunks()
        vectors = column.flatten().to_numpy().reshape(table.num_rows, -1)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None  # a cache that cannot be read is made again
    return table.column("track_id").to_pylist(), vectors
