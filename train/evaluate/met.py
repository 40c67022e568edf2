"""What a run has met in training: tags, and artists, which make figures on another dataset say less."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from schemas.errors import TrackloreError
from schemas.tables import TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST
from train.data.dataset import Dataset
from train.evaluate.figures import spoken
from train.recipe import DataSection
from train.run import DATA, TRAIN_TAGS, Run

_NAMED = 20


class Met:
    """The dataset that a run was trained on, if it is at hand.

    Attributes:
        dataset: None when it is not, or is no longer the one that the run remembers.
    """

    def __init__(self, run: Run, section: DataSection) -> None:
        self._section = section
        self._tags = _tags(run)
        self.dataset = _opened(run)

    def tags(self) -> frozenset[str] | None:
        """The tags of the tracks trained on, as `spoken` writes them; None where the run does not say."""
        return self._tags

    def shared(self, other: Dataset, tracks: Collection[str]) -> dict[str, Any] | None:
        """Whose music among `tracks` of a dataset was trained on: `artists`, their `tracks`, the `first` names.

        Artists are the same when their ids are, or their names but for case, accents and punctuation. None where
        nobody knows.
        """
        if self.dataset is None or not self.dataset.has(TRACKS) or not other.has(TRACKS):
            return None
        known = {key for artist in _artists(self.dataset, set(self._tracks())).values() for key in artist.keys}
        found = {track: artist for track, artist in _artists(other, set(tracks)).items() if artist.keys & known}
        shown = {artist.artist_id: artist.name for _, artist in sorted(found.items())}
        return {"artists": len(shown), "tracks": len(found), "first": sorted(shown.values())[:_NAMED]}

    def _tracks(self) -> list[str]:
        assert self.dataset is not None
        splits = self.dataset.split_of(self._section.scheme, self._section.fold)
        return [track for track, split in splits.items() if split in self._section.train]


def _tags(run: Run) -> frozenset[str] | None:
    if not run.store.exists(TRAIN_TAGS):
        return None
    listed = run.read_json(TRAIN_TAGS).get("tags")
    return frozenset(spoken(str(tag)) for tag in listed) if isinstance(listed, list) else None


def _opened(run: Run) -> Dataset | None:
    known = run.read_json(DATA)
    try:
        dataset = Dataset(run.locate_data())
        same = (dataset.receipt.name, dataset.receipt.manifest) == (known.get("name"), known.get("manifest"))
        return dataset if same else None
    except TrackloreError:
        return None


@dataclass(frozen=True)
class _Artist:
    """Who made a track: his id, his name for people, and what he is known by."""

    artist_id: str
    name: str
    keys: frozenset[str]


def _artists(dataset: Dataset, tracks: Collection[str]) -> dict[str, _Artist]:
    """The artist of each track, but of those by nobody known."""
    rows = dataset.read(TRACKS, ["track_id", "artist_id", "artist_name"])
    found = {}
    for track, artist, name in zip(*rows.values(), strict=True):
        if track in tracks and artist != UNKNOWN_ARTIST:
            plain = _plain(name or "")
            keys = frozenset({f"id {artist}", *([f"name {plain}"] if plain else [])})
            found[track] = _Artist(artist, name or artist, keys)
    return found


def _plain(name: str) -> str:
    text = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return " ".join(re.findall(r"\w+", text))
