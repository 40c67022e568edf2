"""The mood subset of AudioSet (Gemmeke et al. 2017), from the segment lists as published: seven moods of music.

AudioSet names no artists and no channels. Each YouTube video counts as an artist and as a recording of its own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field

from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import Gathered
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings

MOODS = (
    "Happy music",
    "Funny music",
    "Sad music",
    "Tender music",
    "Exciting music",
    "Angry music",
    "Scary music",
)
Part = Literal["balanced_train", "unbalanced_train", "eval"]
_SPLITS: Mapping[Part, str] = {"balanced_train": "train", "unbalanced_train": "train", "eval": "test"}
_SIZES: Mapping[Part, str] = {
    "balanced_train": "22,160 segments, 1 MB",
    "unbalanced_train": "2,041,789 segments, about 100 MB",
    "eval": "20,371 segments, 1 MB",
}
_HEADER = ("YTID", "start_seconds", "end_seconds", "positive_labels")
_COMMENTS = 3
_YOUTUBE_ID = re.compile(r"^[A-Za-z0-9_-]{11}$")


class AudioSetMoodSettings(PublishedFilesSettings):
    """The keys of `source:` for AudioSet's moods.

    Attributes:
        parts: which of the three lists are read.
        audio_name: how the audio files are named, for AudioSet publishes none: `{youtube}` and `{start}` (whole
            seconds) are filled in.
        audio: the folder of the audio files; without it no features.
        audio_holds: whether a file is the clip of ten seconds alone, or the sound of the whole video.
    """

    parts: list[Part] = Field(default=["balanced_train", "unbalanced_train", "eval"], min_length=1)
    audio_name: str = "{youtube}.wav"
    audio_holds: Literal["clip", "parent"] = "clip"


class AudioSetMood(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = AudioSetMoodSettings
    settings: AudioSetMoodSettings

    def files_are_clips(self) -> bool:
        return self.settings.audio_holds == "clip"

    def files(self) -> Mapping[str, PublishedFile]:
        lists: dict[str, PublishedFile] = {
            part: PublishedFile((f"{part}_segments.csv",), _SIZES[part]) for part in self.settings.parts
        }
        return {"classes": PublishedFile(("class_labels_indices.csv",), "527 classes"), **lists}

    def read(self) -> SourceTables:
        gathered = Gathered()
        moods = self._moods()
        for part in self.settings.parts:
            for line, cells in self._segments(part, moods):
                self._add(gathered, part, line, cells, moods)
        for mood in MOODS:
            gathered.class_of(mood, "mood")
        return gathered.tables(["AudioSet names no artists: each YouTube video counts as one"])

    def _moods(self) -> dict[str, str]:
        """The moods by their machine ids."""
        found = {
            row["mid"]: row["display_name"]
            for _, row in self.rows("classes", ",", ("index", "mid", "display_name"))
            if row["display_name"] in MOODS
        }
        missing = sorted(set(MOODS) - set(found.values()))
        if missing:
            raise self.wrong_file("classes", f"no class {', '.join(map(repr, missing))}")
        return found

    def _segments(self, part: Part, moods: Mapping[str, str]) -> Iterator[tuple[int, list[str]]]:
        """The rows of a list that may have a mood; most have none, and are passed over unparsed."""
        any_mood = re.compile("|".join(map(re.escape, moods)))
        for line, text in self.lines(part):
            if line <= _COMMENTS:
                names = tuple(cell.strip() for cell in text.lstrip("# ").split(","))
                if not text.startswith("#") or (line == _COMMENTS and names != _HEADER):
                    raise self.wrong(part, line, f"not the three published lines with # (the third: {_HEADER})")
            elif any_mood.search(text):
                try:
                    cells = next(csv.reader([text], skipinitialspace=True, strict=True))
                except csv.Error as error:
                    raise self.wrong(part, line, str(error)) from error
                if len(cells) != len(_HEADER):
                    raise self.wrong(part, line, f"{len(cells)} cells, and {len(_HEADER)} are published")
                yield line, cells

    def _add(self, gathered: Gathered, part: Part, line: int, cells: list[str], moods: Mapping[str, str]) -> None:
        youtube = cells[0]
        if not _YOUTUBE_ID.match(youtube):
            raise self.wrong(part, line, f"{youtube!r} is no id of YouTube")
        start, end = (
            self.number(part, line, name, cell) for name, cell in zip(_HEADER[1:3], cells[1:3], strict=True)
        )
        tags = [moods[label] for label in cells[3].split(",") if label in moods]
        if not tags:
            return
        where = f"{self.path(part)}: line {line}"
        track_id = f"{youtube}_{round(start * 1000)}"
        added = gathered.track(
            track_id,
            where,
            artist_id=youtube,
            duration_s=end - start,
            audio_uri=self.settings.audio_name.replace("{youtube}", youtube).replace("{start}", str(int(start))),
            video_uri=youtube,
            parent_id=youtube,
            start_s=start,
            end_s=end,
            recording_id=youtube,
        )
        if added:
            gathered.tags(track_id, "mood", tags)
            gathered.split(track_id, _SPLITS[part], where)


SOURCE = AudioSetMood
