"""Tracks of artists with a taste, with tags as skewed as real ones, composed from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

# Of ten tags that a track might have, as many as this are its artist's; the rest are anybody's.
_OWN_PART = 0.85


@dataclass(frozen=True)
class Shape:
    """How many there are of what; `tags_per_track` in the mean, `taste` tags that an artist draws from."""

    tracks: int
    artists: int
    tags: int
    tags_per_track: float
    taste: int


MTG_JAMENDO = Shape(55_525, 3_565, 183, 3.8, 7)
ECALS = Shape(1_000_000, 50_000, 1_054, 7.0, 14)


def labelled_tracks(shape: Shape, seed: int = 0) -> pa.Table:
    """Columns track_id and artist_id (string) and tags (list of string); every artist has a track."""
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(sigma=1.1, size=shape.artists)
    of_track = rng.choice(shape.artists, shape.tracks - shape.artists, p=weights / weights.sum())
    artists = np.sort(np.append(np.arange(shape.artists), of_track))
    popularity = np.cumsum(1.0 / (np.arange(shape.tags) + 5.0) ** 1.2)
    popularity /= popularity[-1]
    tastes = np.searchsorted(popularity, rng.random((shape.artists, shape.taste)))
    counts = 1 + rng.poisson(shape.tags_per_track - 1, shape.tracks)
    rows = np.repeat(np.arange(shape.tracks), counts)
    # An artist's first tags are on most of the artist's tracks.
    place = (rng.random(len(rows)) ** 2 * shape.taste).astype(np.int64)
    drawn = np.where(
        rng.random(len(rows)) < _OWN_PART,
        tastes[artists[rows], place],
        np.searchsorted(popularity, rng.random(len(rows))),
    )
    pairs = np.unique(rows * shape.tags + drawn)
    rows, tags = pairs // shape.tags, pairs % shape.tags
    ends = np.append(0, np.bincount(rows, minlength=shape.tracks).cumsum()).astype(np.int32)
    names = pa.array([f"tag {number:04d}" for number in range(shape.tags)])
    return pa.table(
        {
            "track_id": pa.array([f"track_{number:07d}" for number in rng.permutation(shape.tracks).tolist()]),
            "artist_id": pa.array([f"artist_{number:06d}" for number in artists.tolist()]),
            "tags": pa.ListArray.from_arrays(pa.array(ends), names.take(pa.array(tags))),
        }
    )
