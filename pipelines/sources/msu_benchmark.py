"""One dataset of the music semantic understanding benchmark (Doh et al. 2023), as its release has it.

`annotation.json` says of each track its tags, title and artist as far as they are known, `track_split.json` names
the tracks of each split. KVT is read so, for its own release is pickles; so is every other dataset here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.sources.artists import artist_id, artist_key
from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import Gathered
from pipelines.sources.json_members import NoJsonObjectError, members
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings
from schemas.errors import UsageError
from schemas.tables.tracks import UNKNOWN_ARTIST

SPLITS = {"train_track": "train", "valid_track": "valid", "test_track": "test"}
_YEAR = re.compile(r"^\d{4}$")
# How the release writes that nobody knows: numpy's filling, or an empty text.
_NOTHING = frozenset({"", "0", "nan", "none"})


class MsuBenchmarkSettings(PublishedFilesSettings):
    """The keys of `source:` for the benchmark.

    Attributes:
        path: the folder of the release (of `kvt`, `gtzan`, …), or of one dataset's files.
        dataset: the dataset's folder: kvt, emotify, gtzan, fma, mtat, mtg, openmic.
        prefix: what stands before the names of the files: `codified_` for mtat, `autotagging_genre_` for mtg.
        source: what the tags are: genre, vocal, mood, instrument; a tag's category without rules.
        clips_of_songs: whether tracks of one artist and title are clips of one recording.
        audio_name: how the audio files are named where the release gives no path; `{id}` is filled in.
    """

    dataset: str
    prefix: str = ""
    source: str = "genre"
    clips_of_songs: bool = True
    audio_name: str = "{id}.mp3"


class MsuBenchmark(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = MsuBenchmarkSettings
    # Unique in one of its datasets only.
    PUBLISHED_IDS = False
    settings: MsuBenchmarkSettings

    def files(self) -> Mapping[str, PublishedFile]:
        dataset, prefix = self.settings.dataset, self.settings.prefix
        if prefix.startswith("won2020"):
            raise UsageError(
                "source.prefix: the release's split won2020 lists places in an array, not clips; read these lists "
                "with the source magnatagatune"
            )
        return {
            name: PublishedFile(
                (f"{prefix}{name}.json", f"{dataset}/{prefix}{name}.json"), "of msu_dataset.tar.gz (Zenodo 7338807)"
            )
            for name in ("annotation", "track_split")
        }

    def read(self) -> SourceTables:
        gathered = Gathered()
        rows = list(self._annotations())
        known = any(artist for _, artist, _, _ in rows)
        songs: dict[tuple[str, str], str] = {}
        clips = 0
        for track_id, artist, title, row in rows:
            where = f"{self.path('annotation')}: {track_id!r}"
            song = (artist_key(artist), artist_key(title))
            shared = self.settings.clips_of_songs and all(song)
            recording = songs.setdefault(song, track_id) if shared else track_id
            clips += recording != track_id
            nobody = UNKNOWN_ARTIST if known else recording
            added = gathered.track(
                track_id,
                where,
                artist_id=artist_id(artist) if artist else nobody,
                artist_name=artist,
                title=title,
                album=_plain(row.get("release")),
                year=int(text) if _YEAR.match(text := _plain(row.get("year"))) else None,
                audio_uri=_plain(row.get("path")) or self.settings.audio_name.replace("{id}", track_id),
                recording_id=recording,
            )
            if added:
                gathered.tags(
                    track_id, self.settings.source, _tags_of(row, f"{self.where('annotation')}: {track_id!r}")
                )
        notes = [] if known else ["no artists are published: each recording counts as an artist of its own"]
        if clips:
            notes.append(f"{clips} tracks have the artist and title of another: taken as clips of one recording")
        return gathered.tables([*notes, *self._splits(gathered)])

    def _annotations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Track id, artist, title and the whole entry, for each."""
        with self.opened("annotation") as stream:
            try:
                for key, row in members(stream):
                    if not isinstance(row, dict):
                        raise UsageError(f"{self.where('annotation')}: {key!r}: is no object")
                    artist = _plain(row.get("artist_name")) or _plain(row.get("artist"))
                    yield key, artist, _plain(row.get("title")), row
            except NoJsonObjectError as error:
                raise UsageError(f"{self.where('annotation')}: is no JSON object ({error})") from error

    def _splits(self, gathered: Gathered) -> list[str]:
        content, where = self.json("track_split"), self.where("track_split")
        if not isinstance(content, dict) or set(content) != set(SPLITS):
            raise UsageError(f"{where}: not an object of {', '.join(SPLITS)}, as published")
        unknown: list[str] = []
        for key, split in SPLITS.items():
            if not isinstance(content[key], list):
                raise UsageError(f"{where}: {key}: is no list")
            for number, entry in enumerate(content[key], start=1):
                if isinstance(entry, bool) or not isinstance(entry, str | int):
                    raise UsageError(f"{where}: {key}: entry {number} is {entry!r}, and track ids are published")
                # GTZAN's lists name the genre's folder, too.
                track_id = str(entry) if str(entry) in gathered else str(entry).rpartition("/")[2]
                if track_id in gathered:
                    gathered.split(track_id, split, f"{where}: {key}: entry {number}")
                else:
                    unknown.append(str(entry))
        if not unknown:
            return []
        return [f"{len(unknown)} entries of {self.path('track_split')} are in no annotation, first {unknown[0]!r}"]


def _plain(value: Any) -> str:
    """Text, or nothing: what is not known is written 0, NaN or empty."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    text = value.strip() if isinstance(value, str) else ""
    return "" if text.lower() in _NOTHING else text


def _tags_of(row: Mapping[str, Any], where: str) -> list[str]:
    tag = row.get("tag")
    tags = [tag] if isinstance(tag, str) else tag
    if not isinstance(tags, list) or not all(isinstance(one, str) and one for one in tags):
        raise UsageError(f"{where}: tag is {tag!r}, and text or a list of text is published")
    return sorted(set(tags))


SOURCE = MsuBenchmark
