"""Melon Playlist Dataset (Ferraro et al. 2021): songs with genres, and the playlists that hold them.

`song_meta.json`, `genre_gn_all.json` and `train.json` as published by Kakao Arena; `val.json` and `test.json`,
whose playlists are published in part, join in where they are there.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pyarrow as pa

from pipelines.sources.base import SourceTables
from pipelines.sources.json_items import json_items
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from pipelines.sources.random_split import RandomSplitSettings
from pipelines.sources.row_buffer import RowBuffer
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.tables import ANNOTATIONS, EXCLUSIONS, INTERACTIONS, TAXONOMY, TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST

PLAYLISTS = ("train", "val", "test")
_YEARS = range(1800, 2101)


class MelonSettings(RandomSplitSettings):
    """The keys of `source:` for Melon.

    Attributes:
        genres: tags are the genres' names, with the genre above where two have one name, or their codes.
    """

    genres: Literal["names", "codes"] = "names"


class Melon(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = MelonSettings
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        "songs": PublishedFile(("song_meta.json",), "649,091 songs, about 300 MB, of the Melon Playlist Dataset"),
        "genres": PublishedFile(("genre_gn_all.json",), "254 genres, 10 kB, of the Melon Playlist Dataset"),
        "train": PublishedFile(("train.json",), "115,071 playlists, about 140 MB, of the Melon Playlist Dataset"),
        "val": PublishedFile(("val.json",), required=False),
        "test": PublishedFile(("test.json",), required=False),
    }

    def read(self) -> SourceTables:
        names = self._genre_names()
        rows = RowBuffer()
        songs: dict[int, int] = {}
        notes: list[str] = []
        unnamed: set[str] = set()
        collaborations = 0
        used: set[str] = set()
        for where, item in self._items("songs"):
            song = _number(item, "id", where)
            if song in songs:
                rows.exclude(str(song), Reason.DUPLICATE_ID, where)
                continue
            songs[song] = len(songs)
            artists = [str(artist) for artist in _listed(item, "artist_id_basket", int, where)]
            named = _listed(item, "artist_name_basket", str, where)
            codes = [
                code
                for basket in ("song_gn_gnr_basket", "song_gn_dtl_gnr_basket")
                for code in _listed(item, basket, str, where)
                if code
            ]
            album = item.get("album_id")
            others = sorted(set(artists[1:]) - set(artists[:1]))
            collaborations += bool(others)
            rows.add(
                TRACKS,
                track_id=str(song),
                artist_id=artists[0] if artists else UNKNOWN_ARTIST,
                collaborators=others or None,
                artist_name=(named[0].strip() or None) if named and artists else None,
                album=_text(item, "album_name", where) or (None if album is None else str(album)),
                title=_text(item, "song_name", where),
                year=_year(item, where),
                recording_id=str(song),
            )
            for code in dict.fromkeys(codes):
                if code not in names:
                    unnamed.add(code)
                used.add(code)
                rows.add(
                    ANNOTATIONS,
                    track_id=str(song),
                    source="genre",
                    raw_tag=names.get(code, code),
                    score=None,
                )
        interactions, told = self._interactions(songs)
        notes += told
        if collaborations:
            notes.append(
                f"{collaborations} songs have several artists: the first one's song, the others collaborate"
            )
        if unnamed:
            notes.append(
                f"{len(unnamed)} genres have no name in {self.path('genres')}: {', '.join(sorted(unnamed))}"
            )
        published, drawn = cast(MelonSettings, self.settings).drawn(map(str, songs))
        return SourceTables(
            rows.table(TRACKS),
            rows.table(ANNOTATIONS),
            rows.table(EXCLUSIONS),
            published=published,
            taxonomy=_taxonomy(used, names),
            interactions=interactions,
            notes=(*notes, *drawn),
        )

    def _genre_names(self) -> dict[str, str]:
        """A tag for each genre's code: names that several genres have are told apart by the genre above."""
        codes = self.json("genres")
        if not isinstance(codes, dict) or not all(isinstance(name, str) for name in codes.values()):
            raise UsageError(f"{self.where('genres')}: is no JSON object of names by code, as published")
        if cast(MelonSettings, self.settings).genres == "codes":
            return {code: code for code in codes}
        plain = {code: name.strip() or code for code, name in codes.items()}
        times = Counter(plain.values())
        return {
            code: name if times[name] == 1 else f"{name} ({plain.get(_above(code) or '', code)})"
            for code, name in plain.items()
        }

    def _items(self, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with self.opened(key) as stream:
            try:
                for number, item in json_items(stream):
                    yield f"{self.where(key)}: item {number}", item
            except ValueError as error:
                raise UsageError(f"{self.where(key)}: {error}") from error

    def _interactions(self, songs: Mapping[int, int]) -> tuple[pa.Table, list[str]]:
        groups, members, seen, unknown = array("i"), array("i"), dict[int, int](), 0
        playlists: list[str] = []
        repeated = 0
        for key in PLAYLISTS:
            if not self.has(key):
                continue
            for where, item in self._items(key):
                playlist = _number(item, "id", where)
                if playlist in seen:
                    repeated += 1
                    continue
                seen[playlist] = len(playlists)
                listed = dict.fromkeys(_listed(item, "songs", int, where))
                known = [songs[song] for song in listed if song in songs]
                unknown += len(listed) - len(known)
                groups.extend([len(playlists)] * len(known))
                members.extend(known)
                playlists.append(str(playlist))
        ids = pa.array([str(song) for song in songs], pa.string())
        count = len(members)
        columns = [
            pa.array(playlists, pa.string()).take(pa.array(np.array(groups, np.int32))),
            pa.array(["playlist"]).take(pa.array(np.zeros(count, np.int8))),
            ids.take(pa.array(np.array(members, np.int32))),
            pa.array(np.ones(count, np.int64)),
        ]
        notes = [
            f"{len(playlists)} playlists hold {count} songs of the dataset; titles and tags of playlists stay out"
        ]
        if unknown:
            notes.append(f"{unknown} songs of playlists are not in {self.path('songs')}: left out")
        if repeated:
            notes.append(f"{repeated} playlists stand twice: the first counts")
        return pa.table(columns, schema=INTERACTIONS.schema), notes


def _above(code: str) -> str | None:
    """The genre above: GN0105 lies below GN0100."""
    parent = f"{code[:4]}00"
    return parent if len(code) == 6 and code != parent else None


def _taxonomy(codes: set[str], names: Mapping[str, str]) -> pa.Table:
    tags: dict[str, str | None] = {}
    for code in sorted(codes | {above for code in codes if (above := _above(code)) is not None}):
        above = _above(code)
        tags.setdefault(names.get(code, code), names.get(above, above) if above is not None else None)
    rows = ({"raw_tag": tag, "category": "genre", "parent": parent} for tag, parent in tags.items())
    return TAXONOMY.from_rows(rows)


def _number(item: Mapping[str, Any], key: str, where: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{where}: {key} is {value!r}, not a whole number as published")
    return value


def _text(item: Mapping[str, Any], key: str, where: str) -> str | None:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{where}: {key} is {value!r}, not text as published")
    return value.strip() or None if value else None


def _listed(item: Mapping[str, Any], key: str, kind: type, where: str) -> list[Any]:
    value = item.get(key)
    if not isinstance(value, list) or not all(type(entry) is kind for entry in value):
        shown = repr(value)[:60]
        raise UsageError(f"{where}: {key} is {shown}, not a list of {kind.__name__} as published")
    return value


def _year(item: Mapping[str, Any], where: str) -> int | None:
    """The year of `issue_date`, YYYYMMDD; what is not known is written as zeros."""
    date = _text(item, "issue_date", where) or ""
    year = int(date[:4]) if date[:4].isascii() and date[:4].isdigit() else 0
    return year if year in _YEARS else None


SOURCE = Melon
