"""Emomusic, "1000 songs for emotional analysis of music" (Soleymani et al. 2013), from its annotations.

Valence and arousal, 1 to 9, are targets, the eight genres tags. Two splits come along: `published`, that of
MediaEval 2013 (development is train, evaluation test), and `published_jukemir`, which carves a validation set by
artist from development (Castellon et al. 2021).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import ClassVar

from pipelines.sources.artists import artist_id, artist_key
from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import Gathered
from pipelines.sources.published_files import PublishedFile, PublishedFiles

JUKEMIR_SCHEME = "published_jukemir"
_SPLITS = {"development": "train", "evaluation": "test"}
_START = "start of the segment (min.sec)"
_END = "end of the segment (min.sec)"
_SET = "Mediaeval 2013 set"
_SONG_COLUMNS = ("song_id", "file_name", "Artist", "Song title", _START, _END, "Genre", _SET)
_TARGETS = {
    "arousal": "mean_arousal",
    "arousal_std": "std_arousal",
    "valence": "mean_valence",
    "valence_std": "std_valence",
}
_MINUTES = re.compile(r"^(\d+)(?:\.([0-5]?\d))?$")
_FILE = re.compile(r"^\d+\.mp3$")


class Emomusic(PublishedFiles):
    """See the module."""

    VERSION = 1
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        "songs": PublishedFile(
            ("songs_info.csv", "annotations/songs_info.csv"), "of annotations.tar.gz; 744 songs"
        ),
        "ratings": PublishedFile(
            ("static_annotations.csv", "annotations/static_annotations.csv"), "of annotations.tar.gz; 744 songs"
        ),
    }

    def expected_tracks(self) -> int:
        return 744

    def read(self) -> SourceTables:
        gathered = Gathered()
        ratings = self._ratings()
        unrated = 0
        for line, raw in self.rows("songs", ",", _SONG_COLUMNS):
            row = {name: cell.strip() for name, cell in raw.items()}
            where = f"{self.path('songs')}: line {line}"
            split = _SPLITS.get(row[_SET])
            if split is None:
                raise self.wrong("songs", line, f"{_SET} {row[_SET]!r} is neither development nor evaluation")
            if not _FILE.match(row["file_name"]):
                raise self.wrong("songs", line, f"file_name {row['file_name']!r} is not written 2.mp3")
            start, end = self._seconds(line, _START, row[_START]), self._seconds(line, _END, row[_END])
            track_id, artist = row["song_id"], row["Artist"]
            # The published set has one clip a song; a second would be of the same recording.
            recording = f"{artist_key(artist)}/{artist_key(row['Song title'])}"
            added = gathered.track(
                track_id,
                where,
                artist_id=artist_id(artist),
                artist_name=artist,
                title=row["Song title"],
                duration_s=end - start,
                audio_uri=row["file_name"],
                parent_id=recording,
                start_s=start,
                end_s=end,
                recording_id=recording,
            )
            if not added:
                continue
            gathered.tags(track_id, "genre", [row["Genre"]] if row["Genre"] else [])
            gathered.split(track_id, split, where)
            gathered.split(track_id, _jukemir_split(split, artist), where, JUKEMIR_SCHEME)
            if track_id in ratings:
                gathered.targets(track_id, ratings.pop(track_id))
            else:
                unrated += 1
        notes = [f"{unrated} songs have no row in {self.path('ratings')}"] if unrated else []
        if ratings:
            notes.append(f"{len(ratings)} rows of {self.path('ratings')} are of no song in {self.path('songs')}")
        return gathered.tables(notes)

    def _ratings(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for line, row in self.rows("ratings", ",", ("song_id", *_TARGETS.values())):
            song = row["song_id"].strip()
            if song in found:
                raise self.wrong("ratings", line, f"song {song} stands twice")
            found[song] = {
                name: self.number("ratings", line, column, row[column]) for name, column in _TARGETS.items()
            }
        return found

    def _seconds(self, line: int, column: str, text: str) -> float:
        """Seconds from minutes.seconds: 0.48 is 48 seconds, and so is 0.5 fifty."""
        match = _MINUTES.match(text)
        if match is None:
            raise self.wrong("songs", line, f"{column} {text!r} is not written minutes.seconds")
        return 60.0 * int(match[1]) + int((match[2] or "0").ljust(2, "0"))


def _jukemir_split(split: str, artist: str) -> str:
    """Two tenths of the artists of development are valid, by the digest of the name's plain letters."""
    if split != "train":
        return split
    letters = "".join(c for c in artist.lower() if c.isascii() and (c.isalpha() or c.isspace()))
    name = " ".join(letters.split())
    # Published so; it secures nothing.
    digest = hashlib.sha1(name.encode("utf-8"), usedforsecurity=False).hexdigest()
    return "valid" if int(digest, 16) % 10 >= 8 else "train"


SOURCE = Emomusic
