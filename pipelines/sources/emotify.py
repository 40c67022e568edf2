"""Emotify (Aljanaki et al. 2016), from `data.csv` as published: 400 clips, and what each listener felt at each.

A clip's tag is the emotion that most of its listeners chose, as the music semantic understanding benchmark has it;
the shares of all nine are targets. The split in use is that benchmark's `track_split.json`, when it is beside.
Artists are not published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import Gathered
from pipelines.sources.msu_benchmark import SPLITS
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings
from schemas.errors import UsageError

EMOTIONS = (
    "amazement",
    "solemnity",
    "tenderness",
    "nostalgia",
    "calmness",
    "power",
    "joyful_activation",
    "tension",
    "sadness",
)
CLIPS_OF_A_GENRE = 100
_COLUMNS = ("track id", "genre", *EMOTIONS)


class EmotifySettings(PublishedFilesSettings):
    """The keys of `source:` for Emotify.

    Attributes:
        emotions: the one that most listeners chose is the tag (`strongest`; of equals the first as published), or
            every one that anyone chose, scored with the percentage of the listeners who did (`chosen`; see
            tags.min_score).
        audio: the folder of the clips, as `rock/1.mp3`; without it no features.
    """

    emotions: Literal["strongest", "chosen"] = "strongest"


class Emotify(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = EmotifySettings
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        "data": PublishedFile(("data.csv",), "of emotifydata; 8,407 judgements, about 0.5 MB"),
        "split": PublishedFile(("track_split.json", "emotify/track_split.json"), required=False),
    }
    settings: EmotifySettings

    def expected_tracks(self) -> int:
        return 400

    def read(self) -> SourceTables:
        gathered = Gathered()
        for clip, (line, genre, listeners, votes) in sorted(self._votes().items()):
            track_id = str(clip)
            where = f"{self.path('data')}: line {line}"
            gathered.track(
                track_id,
                where,
                artist_id=track_id,
                audio_uri=f"{genre}/{(clip - 1) % CLIPS_OF_A_GENRE + 1}.mp3",
            )
            shares = {emotion: votes[emotion] / listeners for emotion in EMOTIONS}
            gathered.targets(track_id, shares)
            if self.settings.emotions == "strongest":
                strongest = max(EMOTIONS, key=lambda emotion: votes[emotion])
                gathered.tags(track_id, "mood", [strongest] if votes[strongest] else [])
                continue
            for emotion, share in shares.items():
                if share:
                    gathered.tags(track_id, "mood", [emotion], 100 * share)
        for emotion in EMOTIONS:
            gathered.class_of(emotion, "mood")
        return gathered.tables(["no artists are published: each clip counts as one", *self._split(gathered)])

    def _votes(self) -> dict[int, tuple[int, str, int, dict[str, int]]]:
        """For each clip its first line, its genre, its listeners, and how many of them chose each emotion."""
        found: dict[int, tuple[int, str, int, dict[str, int]]] = {}
        for line, raw in self.rows("data", ",", _COLUMNS):
            row = {name: cell.strip() for name, cell in raw.items()}
            if not (row["track id"].isascii() and row["track id"].isdigit() and int(row["track id"])):
                raise self.wrong("data", line, f"track id {row['track id']!r} is no number")
            clip = int(row["track id"])
            first, genre, listeners, votes = found.get(clip, (line, row["genre"], 0, dict.fromkeys(EMOTIONS, 0)))
            if row["genre"] != genre or not genre or "/" in genre:
                raise self.wrong(
                    "data", line, f"track {clip} is {row['genre']!r} here, and {genre!r} on line {first}"
                )
            for emotion in EMOTIONS:
                if row[emotion] not in ("0", "1"):
                    raise self.wrong("data", line, f"{emotion} is {row[emotion]!r}, and 0 or 1 is published")
                votes[emotion] += int(row[emotion])
            found[clip] = (first, genre, listeners + 1, votes)
        return found

    def _split(self, gathered: Gathered) -> list[str]:
        if not self.has("split"):
            return ["no track_split.json of the benchmark is beside: there is no published split"]
        content, where = self.json("split"), self.where("split")
        if not isinstance(content, dict) or set(content) != set(SPLITS):
            raise UsageError(f"{where}: not an object of {', '.join(SPLITS)}, as published")
        unknown = 0
        for key, split in SPLITS.items():
            entries = content[key]
            if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
                raise UsageError(f"{where}: {key}: is no list of track ids")
            for number, track_id in enumerate(entries, start=1):
                if track_id in gathered:
                    gathered.split(track_id, split, f"{where}: {key}: entry {number}")
                else:
                    unknown += 1
        return [f"{unknown} entries of {self.path('split')} are in no row of data.csv"] if unknown else []


SOURCE = Emotify
