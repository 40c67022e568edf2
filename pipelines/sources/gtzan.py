"""GTZAN, fault-filtered (Kereliuk et al. 2015): 930 of its 1,000 excerpts, split without shared artists.

Artists and titles, without which nothing can be said of contamination, come from GTZAN-Rhythm's `stats.csv`
(Marchand et al. 2015).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from pipelines.sources.artists import artist_id, artist_key
from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import Gathered
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from schemas.tables.tracks import UNKNOWN_ARTIST

_PARTS = ("train", "valid", "test")
_FOLDERS = ("", "GTZAN_split/", "split/gtzan/", "gtzan/")
_LINE = re.compile(r"^([a-z]+)/\1\.\d{5}\.(?:wav|au)$")
_STATS = ("filename", "artist", "title")
# How tables of this dataset write that nobody knows.
_NOTHING = frozenset({"", "?", "-", "0", "nan", "unknown"})


class Gtzan(PublishedFiles):
    """See the module."""

    VERSION = 1
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        **{
            part: PublishedFile(
                tuple(f"{folder}{part}_filtered.txt" for folder in _FOLDERS), "the fault-filtered lists of GTZAN"
            )
            for part in _PARTS
        },
        "stats": PublishedFile(
            (
                "stats.csv",
                "GTZAN-Rhythm_v2_ismir2015_lbd/stats.csv",
                "GTZAN-Rhythm_v2_ismir2015_lbd_2015-10-28/stats.csv",
            ),
            required=False,
        ),
    }

    def expected_tracks(self) -> int:
        return 930

    def read(self) -> SourceTables:
        gathered = Gathered()
        named = self._names()
        unnamed = 0
        songs: dict[tuple[str, str], str] = {}
        repeated = 0
        for part in _PARTS:
            for line, path in self.lines(part):
                if not path.strip():
                    continue
                path = path.strip()
                if not _LINE.match(path):
                    raise self.wrong(part, line, f"{path!r} is not written genre/genre.00000.wav")
                genre, _, track_id = path.partition("/")
                where = f"{self.path(part)}: line {line}"
                if track_id in gathered:
                    gathered.split(track_id, part, where)
                artist, title = named.get(track_id.rpartition(".")[0], ("", ""))
                song = (artist_key(artist), artist_key(title))
                recording = songs.setdefault(song, track_id) if all(song) else track_id
                repeated += recording != track_id
                unnamed += not artist
                added = gathered.track(
                    track_id,
                    where,
                    artist_id=self._artist(artist, recording),
                    artist_name=artist,
                    title=title,
                    audio_uri=path,
                    recording_id=recording,
                )
                if added:
                    gathered.tags(track_id, "genre", [genre])
                    gathered.split(track_id, part, where)
        return gathered.tables(self._notes(gathered, named, unnamed, repeated))

    def _artist(self, artist: str, recording: str) -> str:
        if artist:
            return artist_id(artist)
        return UNKNOWN_ARTIST if self.has("stats") else recording

    def _names(self) -> dict[str, tuple[str, str]]:
        """Artist and title by the file's name without its ending; empty where they are not known."""
        if not self.has("stats"):
            return {}
        found = {}
        for _, row in self.rows("stats", ",", _STATS):
            artist, title = (
                ("" if (text := row[name].strip()).lower() in _NOTHING else text) for name in _STATS[1:]
            )
            found[row["filename"].strip().removesuffix(".wav").removesuffix(".au")] = (artist, title)
        return found

    def _notes(
        self, gathered: Gathered, named: Mapping[str, tuple[str, str]], unnamed: int, repeated: int
    ) -> list[str]:
        if not self.has("stats"):
            return [
                "no stats.csv of GTZAN-Rhythm: artists are not known, each excerpt counts as an artist of its "
                "own, and nothing can be said of shared artists"
            ]
        notes = [f"{len(gathered) - unnamed} of {len(gathered)} excerpts have an artist in stats.csv"]
        if repeated:
            notes.append(f"{repeated} excerpts have the artist and title of another: taken as the same recording")
        left_out = len(named) - sum(track_id in named for track_id in (t.rpartition(".")[0] for t in gathered))
        if left_out:
            notes.append(f"{left_out} excerpts of stats.csv are in none of the filtered lists: they are left out")
        return notes


SOURCE = Gtzan
