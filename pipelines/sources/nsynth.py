"""NSynth, from `examples.json` of each part as published (Engel et al. 2017): single notes of 1,006 instruments.

The instrument is the artist: a note heard in training says much of the next note of the same instrument. The
published split keeps the instruments of train apart from those of valid and test, which share theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import Gathered
from pipelines.sources.json_members import NoJsonObjectError, members
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings
from schemas.errors import UsageError

Part = Literal["train", "valid", "test"]
SECONDS = 4.0
_NOTES: Mapping[Part, int] = {"train": 289_205, "valid": 12_678, "test": 4_096}


class NSynthSettings(PublishedFilesSettings):
    """The keys of `source:` for NSynth.

    Attributes:
        parts: which parts are there.
        qualities: whether the qualities of a note (bright, distortion, …) and the source of its sound (acoustic,
            electronic, synthetic) are tags beside its family.
        audio: the folder of nsynth-train, nsynth-valid and nsynth-test; without it no features.
    """

    parts: list[Part] = Field(default=["train", "valid", "test"], min_length=1)
    qualities: bool = False


class NSynth(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = NSynthSettings
    settings: NSynthSettings

    def files(self) -> Mapping[str, PublishedFile]:
        return {
            part: PublishedFile(
                (f"nsynth-{part}/examples.json",),
                f"of nsynth-{part}.jsonwav.tar.gz; read fewer parts with --set source.parts=[…]",
            )
            for part in self.settings.parts
        }

    def expected_tracks(self) -> int:
        return sum(_NOTES[part] for part in self.settings.parts)

    def read(self) -> SourceTables:
        gathered = Gathered()
        for part in self.settings.parts:
            with self.opened(part) as stream:
                try:
                    for key, note in members(stream):
                        self._add(gathered, part, key, note)
                except NoJsonObjectError as error:
                    raise UsageError(f"{self.where(part)}: is no JSON object ({error})") from error
        return gathered.tables(["each instrument counts as an artist"])

    def _add(self, gathered: Gathered, part: Part, key: str, note: Any) -> None:
        where = f"{self.where(part)}: {key!r}"
        if not isinstance(note, dict):
            raise UsageError(f"{where}: is no object")
        instrument, family, sound = (
            _text(note, name, where)
            for name in ("instrument_str", "instrument_family_str", "instrument_source_str")
        )
        pitch, velocity = (_whole(note, name, where) for name in ("pitch", "velocity"))
        qualities = note.get("qualities_str")
        if not isinstance(qualities, list) or not all(isinstance(quality, str) for quality in qualities):
            raise UsageError(f"{where}: qualities_str is no list of text")
        added = gathered.track(
            key,
            where,
            artist_id=instrument,
            artist_name=instrument,
            duration_s=SECONDS,
            audio_uri=f"nsynth-{part}/audio/{key}.wav",
        )
        if not added:
            return
        gathered.tags(key, "instrument", [family])
        if self.settings.qualities:
            gathered.tags(key, "quality", qualities)
            gathered.tags(key, "sound", [sound])
        gathered.targets(key, {"pitch": pitch, "velocity": velocity})
        gathered.split(key, part, where)


def _text(note: Mapping[str, Any], name: str, where: str) -> str:
    value = note.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where}: {name} is {value!r}, and text is published")
    return value


def _whole(note: Mapping[str, Any], name: str, where: str) -> int:
    value = note.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 127:
        raise UsageError(f"{where}: {name} is {value!r}, and a number from 0 to 127 is published")
    return value


SOURCE = NSynth
