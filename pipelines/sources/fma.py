"""The Free Music Archive dataset, from `fma_metadata` as published (Defferrard et al. 2017).

`tracks.csv` has three header rows: the part (album, artist, set, track), the column, and the name of the index. The
published split comes along as the scheme `published`, the hierarchy of `genres.csv` as the taxonomy.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pipelines.sources.base import SourceTables
from pipelines.sources.csv_rows import CsvRows
from pipelines.sources.gathered import Gathered
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings

Subset = Literal["small", "medium", "large", "full"]
# A row names the smallest subset that it is in.
_SUBSETS: Mapping[Subset, frozenset[str]] = {
    "small": frozenset({"small"}),
    "medium": frozenset({"small", "medium"}),
    "large": frozenset({"small", "medium", "large"}),
    "full": frozenset({"small", "medium", "large", "full", ""}),
}
_SPLITS = {"training": "train", "validation": "valid", "test": "test"}
_TRACKS_IN = {"small": 8_000, "medium": 25_000, "large": 106_574, "full": 106_574}
_COLUMNS = (
    ("album", "date_released"),
    ("album", "title"),
    ("artist", "id"),
    ("artist", "name"),
    ("set", "split"),
    ("set", "subset"),
    ("track", "duration"),
    ("track", "genre_top"),
    ("track", "genres"),
    ("track", "genres_all"),
    ("track", "license"),
    ("track", "title"),
)
_GENRE_COLUMNS = ("genre_id", "parent", "title")
_YEAR = re.compile(r"^(\d{4})-")
_IDS = re.compile(r"^\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]$")


class FmaSettings(PublishedFilesSettings):
    """The keys of `source:` for FMA.

    Attributes:
        subset: small (8 genres, 8,000 clips of 30 s), medium (16, 25,000), large or full (161, 106,574).
        genres: which genres are a track's tags: its one `top` genre, those that its artist chose (`own`), or those
            and all above them in the hierarchy (`all`).
        audio: the folder of the MP3 files (fma_small, …), as `000/000002.mp3`; without it no features.
    """

    subset: Subset = "small"
    genres: Literal["top", "own", "all"] = "top"


class Fma(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = FmaSettings
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        "tracks": PublishedFile(
            ("tracks.csv", "fma_metadata/tracks.csv"), "of fma_metadata.zip; 106,574 rows, about 250 MB"
        ),
        "genres": PublishedFile(("genres.csv", "fma_metadata/genres.csv"), "of fma_metadata.zip; 163 genres"),
    }
    settings: FmaSettings

    def expected_tracks(self) -> int:
        return _TRACKS_IN[self.settings.subset]

    def read(self) -> SourceTables:
        gathered = Gathered()
        titles, renamed = self._genres(gathered)
        known = frozenset(titles.values())
        subsets = _SUBSETS[self.settings.subset]
        undecided = 0
        for line, number, row in self._rows():
            where = f"{self.path('tracks')}: line {line}"
            if row["set", "subset"] not in _SUBSETS["full"]:
                raise self.wrong("tracks", line, f"set subset {row['set', 'subset']!r} is none of the published")
            if row["set", "subset"] not in subsets:
                continue
            split = _SPLITS.get(row["set", "split"])
            if split is None:
                raise self.wrong("tracks", line, f"set split {row['set', 'split']!r} is none of the published")
            track_id = str(number)
            year = _YEAR.match(row["album", "date_released"])
            added = gathered.track(
                track_id,
                where,
                artist_id=row["artist", "id"],
                artist_name=row["artist", "name"],
                album=row["album", "title"],
                title=row["track", "title"],
                year=int(year[1]) if year else None,
                duration_s=self._seconds(line, row["track", "duration"]),
                audio_uri=f"{number:06d}"[:3] + f"/{number:06d}.mp3",
                licence=row["track", "license"],
            )
            if not added:
                continue
            tags = self._tags(line, row, titles, known)
            undecided += not tags
            gathered.tags(track_id, "genre", tags)
            gathered.split(track_id, split, where)
        notes = [f"genre {title!r} stands twice in genres.csv: taken as {name!r}" for title, name in renamed]
        if undecided:
            notes.append(f"{undecided} tracks have no genre of the kind {self.settings.genres!r}")
        return gathered.tables(notes)

    def _genres(self, gathered: Gathered) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """Titles by genre id; the hierarchy goes into the taxonomy."""
        rows = {row["genre_id"]: (line, row) for line, row in self.rows("genres", ",", _GENRE_COLUMNS)}
        twice = Counter(row["title"].strip() for _, row in rows.values())
        titles: dict[str, str] = {}
        renamed = []
        for genre, (line, row) in rows.items():
            title = row["title"].strip()
            if not title:
                raise self.wrong("genres", line, f"genre {genre!r} has no title")
            titles[genre] = title if twice[title] == 1 else f"{title} ({genre})"
            if titles[genre] != title:
                renamed.append((title, titles[genre]))
        for genre, (line, row) in rows.items():
            parent = row["parent"].strip()
            if parent not in titles and parent not in ("0", ""):
                raise self.wrong(
                    "genres", line, f"the parent {parent!r} of {titles[genre]!r} is no genre of the file"
                )
            gathered.class_of(titles[genre], "genre", titles.get(parent))
        return titles, renamed

    def _tags(
        self, line: int, row: Mapping[tuple[str, str], str], titles: Mapping[str, str], known: frozenset[str]
    ) -> list[str]:
        if self.settings.genres == "top":
            top = row["track", "genre_top"].strip()
            if top and top not in known:
                raise self.wrong("tracks", line, f"genre_top {top!r} is not in {self.path('genres')}")
            return [top] if top else []
        column = "genres" if self.settings.genres == "own" else "genres_all"
        listed = row["track", column].strip()
        if not _IDS.match(listed):
            raise self.wrong("tracks", line, f"track {column} {listed!r} is no list of genre ids")
        found = []
        for genre in re.findall(r"\d+", listed):
            if genre not in titles:
                raise self.wrong("tracks", line, f"genre {genre} is not in {self.path('genres')}")
            found.append(titles[genre])
        return found

    def _seconds(self, line: int, text: str) -> float | None:
        return self.number("tracks", line, "track duration", text) if text else None

    def _rows(self) -> Iterator[tuple[int, int, dict[tuple[str, str], str]]]:
        """The line, the track id and the wanted cells of each row; cells may hold line breaks."""
        with self.opened("tracks") as stream:
            text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            reader = CsvRows(text)
            try:
                places = self._places([next(reader, []) for _ in range(3)])
                width = len(places) and places["", ""]
                for row in reader:
                    start = reader.start
                    if row and len(row) != width:
                        raise self.wrong("tracks", start, f"{len(row)} cells, and {width} are published")
                    if row:
                        if not (row[0].isascii() and row[0].isdigit()):
                            raise self.wrong("tracks", start, f"track_id {row[0]!r} is no number")
                        yield start, int(row[0]), {name: row[places[name]] for name in _COLUMNS}
            except UnicodeDecodeError as error:
                raise self.wrong("tracks", reader.line_num + 1, f"is not UTF-8 ({error.reason})") from error
            except csv.Error as error:
                raise self.wrong("tracks", reader.start, str(error)) from error
            finally:
                text.detach()

    def _places(self, header: Sequence[Sequence[str]]) -> dict[tuple[str, str], int]:
        """Where each wanted column is; under an empty name, how many there are."""
        parts, names, index = header
        if not index or index[0] != "track_id" or len(parts) != len(names):
            raise self.wrong("tracks", 3, "not the three published header rows (the third starts with track_id)")
        found = {pair: place for place, pair in enumerate(zip(parts, names, strict=True))}
        missing = [" ".join(name) for name in _COLUMNS if name not in found]
        if missing:
            raise self.wrong("tracks", 2, f"no column {', '.join(map(repr, missing))} in the published header")
        return {**{name: found[name] for name in _COLUMNS}, ("", ""): len(parts)}


SOURCE = Fma
