"""What a reader of the report listens to: a few queries, and the test tracks that a model finds for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.digests import stable_hash
from schemas.tables import TRACKS
from train.data.dataset import Dataset

Vectors = npt.NDArray[np.float32]
TOP = 5
TAG_QUERIES, CAPTION_QUERIES = 4, 4
_COLUMNS = ("track_id", "title", "artist_name", "audio_uri")


@dataclass(frozen=True)
class Track:
    """What a person is told of a track."""

    track_id: str
    title: str | None
    artist: str | None
    audio_uri: str | None
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A tag or a caption, and the tracks that it is true of."""

    kind: str
    text: str
    right: frozenset[str]


def chosen_queries(
    by_tag: Sequence[dict[str, Any]],
    tracks_of_tag: dict[str, frozenset[str]],
    captions: Sequence[str],
    tracks: Sequence[str],
) -> list[Query]:
    """Some tags and some captions: of the categories with most tags the most frequent tag each; captions by hash.

    Args:
        by_tag: rows of `train.evaluate.tagging.tag_figures`.
        tracks_of_tag: the tracks that have each.
        captions, tracks: of the fixed pairs.
    """
    by_category: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(by_tag, key=lambda row: (-row["tracks"], row["tag"])):
        by_category.setdefault(row["category"], []).append(row)
    ranked = sorted(by_category.values(), key=lambda rows: (-len(rows), rows[0]["category"]))
    # Round by round, a tag of each category.
    rounds = [rows[place] for place in range(TAG_QUERIES) for rows in ranked if place < len(rows)]
    tags = [Query("tag", row["tag"], tracks_of_tag.get(row["tag"], frozenset())) for row in rounds[:TAG_QUERIES]]
    right: dict[str, set[str]] = {}
    for caption, track in zip(captions, tracks, strict=True):
        right.setdefault(caption, set()).add(track)
    drawn = sorted(right, key=lambda caption: (stable_hash(caption, 0), caption))[:CAPTION_QUERIES]
    return [*tags, *(Query("caption", caption, frozenset(right[caption])) for caption in drawn)]


def answered(
    queries: Sequence[Query], scores: npt.NDArray[Any], track_ids: Sequence[str], known: dict[str, Track]
) -> list[dict[str, Any]]:
    """The best tracks for each query, as rows for `metrics.json`; equal scores in the order of ids.

    Args:
        scores: (queries, tracks).
        known: by track id.
    """
    found = []
    for query, row in zip(queries, scores, strict=True):
        order = np.argsort(-row, kind="stable")[:TOP]
        tracks = [
            {
                "rank": rank,
                "score": round(float(row[place]), 6),
                **asdict(known[track_ids[place]]),
                "tags": list(known[track_ids[place]].tags),
                "right": track_ids[place] in query.right,
            }
            for rank, place in enumerate(order, start=1)
        ]
        found.append({"kind": query.kind, "query": query.text, "right": len(query.right), "tracks": tracks})
    return found


def about(dataset: Dataset, track_ids: Sequence[str]) -> dict[str, Track]:
    """What is known of some tracks, by id."""
    texts = dataset.texts
    rows: dict[str, tuple[Any, ...]] = {}
    if dataset.has(TRACKS):
        wanted, table = set(track_ids), dataset.read(TRACKS, list(_COLUMNS))
        rows = {row[0]: row for row in zip(*(table[name] for name in _COLUMNS), strict=True) if row[0] in wanted}
    found = {}
    for track in track_ids:
        _, title, artist, audio_uri = rows.get(track, (track, None, None, None))
        found[track] = Track(track, title, artist, audio_uri, texts[track].tags if track in texts else ())
    return found
