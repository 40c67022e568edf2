"""MTG-Jamendo, from the TSV files as published (Bogdanov et al. 2019).

`path` is the published repository, or the folder of one split's files (`autotagging_top50tags-train.tsv`,
`-validation`, `-test`: data/splits/split-0). The official split comes along as the scheme `published`; other
official splits may stand beside it. Titles and names come from `raw.meta.tsv` where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import PUBLISHED_SCHEME, Gathered
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings

PARTS = {"train": "train", "validation": "valid", "test": "test"}
Split = Annotated[int, Field(ge=0, le=4)]
_HEADER = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
_META_HEADER = [
    "TRACK_ID",
    "ARTIST_ID",
    "ALBUM_ID",
    "TRACK_NAME",
    "ARTIST_NAME",
    "ALBUM_NAME",
    "RELEASEDATE",
    "URL",
]
_ID = re.compile(r"^(track|artist|album)_\d{6,8}$")
_YEAR = re.compile(r"^(\d{4})-\d\d-\d\d")
_WHOLE = "all"


class MtgJamendoSettings(PublishedFilesSettings):
    """The keys of `source:` for MTG-Jamendo.

    Attributes:
        path: see the module.
        subset: the files' stem: autotagging, autotagging_top50tags, autotagging_genre, autotagging_instrument,
            autotagging_moodtheme; without a split also raw, raw_30s, raw_30s_cleantags, ….
        split: which official split, 0 to 4; null reads the file that is not split (`autotagging_genre.tsv`).
        beside: other official splits of the same tracks, as schemes published_1, …; `path` is the repository then.
        audio: the folder of the MP3 files as the PATH column names them (`15/215.mp3`); without it features
            cannot be built.
    """

    subset: str = "autotagging_top50tags"
    split: Split | None = 0
    beside: list[Split] = Field(default=[])


@dataclass(frozen=True)
class _Row:
    track_id: str
    artist_id: str
    album_id: str
    path: str
    seconds: float
    tags: list[tuple[str, str]]


class MtgJamendo(PublishedFiles):
    """See the module."""

    VERSION = 2
    Settings = MtgJamendoSettings
    settings: MtgJamendoSettings

    def files(self) -> Mapping[str, PublishedFile]:
        stem, split = self.settings.subset, self.settings.split
        files = {"meta": PublishedFile(("raw.meta.tsv", "data/raw.meta.tsv"), required=False)}
        if split is None:
            files[_WHOLE] = PublishedFile((f"{stem}.tsv", f"data/{stem}.tsv"))
        else:
            for part in PARTS:
                files[part] = PublishedFile(
                    (f"{stem}-{part}.tsv", f"data/splits/split-{split}/{stem}-{part}.tsv"),
                    "of MTG/mtg-jamendo-dataset",
                )
        for other in self.settings.beside:
            for part in PARTS:
                name = f"splits/split-{other}/{stem}-{part}.tsv"
                files[f"{other}-{part}"] = PublishedFile((f"data/{name}", name, name.removeprefix("splits/")))
        return files

    def expected_tracks(self) -> int:
        parts = [_WHOLE] if self.settings.split is None else list(PARTS)
        return sum(self.store.read_bytes(self.path(part)).count(b"\n") - 1 for part in parts)

    def read(self) -> SourceTables:
        gathered = Gathered()
        notes: list[str] = []
        names = self._names(notes)
        for part in [_WHOLE] if self.settings.split is None else PARTS:
            for number, row in self._rows(part):
                where = f"{self.path(part)}: line {number}"
                title, artist, album, released = names.get(row.track_id, ("", "", "", ""))
                year = _YEAR.match(released)
                added = gathered.track(
                    row.track_id,
                    where,
                    artist_id=row.artist_id,
                    artist_name=artist,
                    album=album or row.album_id,
                    title=title,
                    year=int(year[1]) if year else None,
                    duration_s=row.seconds,
                    audio_uri=row.path,
                )
                if not added:
                    continue
                for kind, tag in row.tags:
                    gathered.tags(row.track_id, kind, [tag])
                if part in PARTS:
                    gathered.split(row.track_id, PARTS[part], where)
        for other in self.settings.beside:
            notes.extend(self._beside(gathered, other))
        return gathered.tables(notes)

    def _beside(self, gathered: Gathered, other: int) -> list[str]:
        unknown = 0
        for part, split in PARTS.items():
            key = f"{other}-{part}"
            for number, row in self._rows(key):
                if row.track_id in gathered:
                    where = f"{self.path(key)}: line {number}"
                    gathered.split(row.track_id, split, where, f"{PUBLISHED_SCHEME}_{other}")
                else:
                    unknown += 1
        return [f"{unknown} tracks of split-{other} are not in split-{self.settings.split}"] if unknown else []

    def _names(self, notes: list[str]) -> dict[str, tuple[str, str, str, str]]:
        """Title, artist, album and release date by track id, where the file is there.

        Its cells hold quotation marks that quote nothing; two published rows have an empty cell too many, behind
        the title.
        """
        if not self.has("meta"):
            return {}
        found: dict[str, tuple[str, str, str, str]] = {}
        odd: list[int] = []
        lines = self.lines("meta")
        _, header = next(lines, (1, ""))
        if header.split("\t") != _META_HEADER:
            raise self.wrong("meta", 1, f"not the published header ({' '.join(_META_HEADER)}, tab-separated)")
        for number, line in lines:
            cells = line.split("\t")
            if len(cells) == len(_META_HEADER) + 1 and not cells[4]:
                del cells[4]
            if len(cells) != len(_META_HEADER):
                odd.extend([number] if line else [])
            else:
                title, artist, album, released = (cell.strip() for cell in cells[3:7])
                found[cells[0]] = (title, artist, album, released)
        if odd:
            notes.append(
                f"{len(odd)} lines of {self.path('meta')} have not {len(_META_HEADER)} cells, first line {odd[0]}: "
                "their tracks have no names"
            )
        return found

    def _rows(self, key: str) -> Iterator[tuple[int, _Row]]:
        """Every row of one file with its line; rows are ragged: one tag a column.

        Raises:
            UsageError: naming the file and the line that is not as published.
        """
        lines = self.lines(key)
        _, header = next(lines, (1, ""))
        if header.split("\t") != _HEADER:
            raise self.wrong(key, 1, f"not the published header ({' '.join(_HEADER)}, tab-separated)")
        for number, line in lines:
            if line:
                yield number, self._row(key, number, line.split("\t"))

    def _row(self, key: str, number: int, cells: list[str]) -> _Row:
        if len(cells) < 6:
            raise self.wrong(key, number, f"{len(cells)} columns, and at least 6 are published")
        track_id, artist, album, audio, duration, *tags = cells
        for cell in (track_id, artist, album):
            if not _ID.match(cell):
                raise self.wrong(key, number, f"{cell!r} is no id of MTG-Jamendo")
        try:
            seconds = float(duration)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            raise self.wrong(key, number, f"duration {duration!r} is no number of seconds")
        found: list[tuple[str, str]] = []
        for cell in filter(None, tags):
            kind, bar, listed = cell.partition("---")
            # The raw files may list several tags of a kind in one cell.
            named = [tag for tag in listed.split(",") if tag]
            if not bar or not named:
                raise self.wrong(key, number, f"tag {kind!r} is not written kind---tag")
            found.extend((kind, tag) for tag in named)
        return _Row(track_id, artist, album, audio, seconds, found)


SOURCE = MtgJamendo
