"""MagnaTagATune, from the files as published (Law et al. 2009; the clips as cut by O. Gillet).

Two splits are in use, and both come along: `published`, by folder (0 to b train, c valid, d to f test; all 25,860
clips that can be decoded), and `published_21k`, the same without the clips that have none of the 50 most frequent
tags (21,108). The latter is taken from the lists of Won et al. 2020 when they are beside.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipelines.sources.artists import artist_id
from pipelines.sources.base import SourceTables
from pipelines.sources.gathered import PUBLISHED_SCHEME, Gathered
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from schemas.reasons import Reason

FILTERED_SCHEME = "published_21k"
TOP_TAGS = 50
# Published as MP3 files that no decoder reads.
BROKEN_CLIPS = frozenset(
    {
        "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
        "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
        "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre_couperin-88-117"
        ".mp3",
    }
)
_SPLIT_OF_FOLDER = {**dict.fromkeys("0123456789ab", "train"), "c": "valid", **dict.fromkeys("def", "test")}
_PARTS = ("train", "valid", "test")
_CLIP_COLUMNS = (
    "clip_id",
    "track_number",
    "title",
    "artist",
    "album",
    "url",
    "segmentStart",
    "segmentEnd",
    "original_url",
    "mp3_path",
)


def _list_of(part: str) -> PublishedFile:
    names = (f"{part}.npy", f"split/mtat/{part}.npy", f"{part}_new.npy")
    return PublishedFile(names, required=False)


class MagnaTagATune(PublishedFiles):
    """See the module."""

    VERSION = 1
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        "annotations": PublishedFile(("annotations_final.csv",), "25,863 rows, about 10 MB"),
        "clips": PublishedFile(("clip_info_final.csv",), "31,382 rows, about 10 MB"),
        **{part: _list_of(part) for part in _PARTS},
    }

    def expected_tracks(self) -> int:
        return 25_860

    def read(self) -> SourceTables:
        gathered = Gathered()
        clips = self._clips(gathered)
        said = self._annotations()
        frequent = _most_frequent(said)
        path_of: dict[str, str] = {}
        filtered: dict[str, str] = {}
        for clip_id, (line, mp3, tags) in said.items():
            where = f"{self.path('annotations')}: line {line}"
            clip = clips.get(clip_id)
            if clip is None:
                gathered.exclude(clip_id, Reason.INVALID_ROW, f"{where}: {self.path('clips')} has no such clip")
                continue
            if clip["mp3_path"] != mp3:
                raise self.wrong("annotations", line, f"mp3_path {mp3!r} is {clip['mp3_path']!r} in the clip info")
            if mp3 in BROKEN_CLIPS:
                gathered.exclude(clip_id, Reason.DECODE_ERROR, f"{mp3} is published as a damaged file")
                continue
            self._add(gathered, clip_id, clip, where)
            gathered.tags(clip_id, "magnatagatune", tags)
            split = self._split_of(line, mp3)
            gathered.split(clip_id, split, where)
            path_of[mp3] = clip_id
            if not frequent.isdisjoint(tags):
                filtered[clip_id] = split
        for clip_id, clip in clips.items():
            if clip_id not in said and clip["mp3_path"]:
                where = f"{self.path('clips')}: line {clip['line']}"
                self._add(gathered, clip_id, clip, where)
                gathered.split(clip_id, "none", where)
        notes = self._filtered_split(gathered, filtered, path_of)
        return gathered.tables(notes)

    def _clips(self, gathered: Gathered) -> dict[str, dict[str, Any]]:
        clips: dict[str, dict[str, Any]] = {}
        silent = 0
        for line, row in self.rows("clips", "\t", _CLIP_COLUMNS):
            clip_id = row["clip_id"]
            if clip_id in clips:
                where = f"{self.path('clips')}: line {line}"
                gathered.exclude(clip_id, Reason.DUPLICATE_ID, where)
                continue
            clips[clip_id] = {name: value.strip() for name, value in row.items()} | {"line": line}
            if not row["mp3_path"].strip():
                silent += 1
                gathered.exclude(clip_id, Reason.NO_AUDIO, "no mp3_path in the clip info")
        return clips

    def _annotations(self) -> dict[str, tuple[int, str, list[str]]]:
        """For each clip its line, its MP3 file and its tags."""
        said: dict[str, tuple[int, str, list[str]]] = {}
        for line, row in self.rows("annotations", "\t", ("clip_id", "mp3_path")):
            clip_id, mp3 = row.pop("clip_id"), row.pop("mp3_path").strip()
            tags = []
            for tag, value in row.items():
                if value == "1":
                    tags.append(tag)
                elif value != "0":
                    raise self.wrong("annotations", line, f"{tag!r} is {value!r}, and 0 or 1 is published")
            if clip_id in said:
                raise self.wrong("annotations", line, f"clip {clip_id} stands twice")
            said[clip_id] = (line, mp3, tags)
        return said

    def _add(self, gathered: Gathered, clip_id: str, clip: Mapping[str, Any], where: str) -> None:
        line = clip["line"]
        start, end = (self.number("clips", line, name, clip[name]) for name in ("segmentStart", "segmentEnd"))
        if end <= start:
            raise self.wrong("clips", line, f"the segment ends at {end:g}, and starts at {start:g} seconds")
        # An album's address and the number of a track on it name one recording; titles do not.
        song = f"{clip['url']}#{clip['track_number']}"
        gathered.track(
            clip_id,
            where,
            artist_id=artist_id(clip["artist"]),
            artist_name=clip["artist"],
            album=clip["album"],
            title=clip["title"],
            duration_s=end - start,
            audio_uri=clip["mp3_path"],
            parent_id=song,
            start_s=start,
            end_s=end,
            recording_id=song,
        )

    def _split_of(self, line: int, mp3: str) -> str:
        split = _SPLIT_OF_FOLDER.get(mp3.partition("/")[0])
        if split is None or "/" not in mp3:
            raise self.wrong("annotations", line, f"mp3_path {mp3!r} is in none of the folders 0 to f")
        return split

    def _filtered_split(
        self, gathered: Gathered, filtered: Mapping[str, str], path_of: Mapping[str, str]
    ) -> list[str]:
        listed = [part for part in _PARTS if self.has(part)]
        if not listed:
            for clip_id, split in filtered.items():
                gathered.split(clip_id, split, self.path("annotations"), FILTERED_SCHEME)
            return [
                f"{FILTERED_SCHEME} is {PUBLISHED_SCHEME} without the clips that have none of the {TOP_TAGS} most "
                f"frequent tags: {len(filtered)} clips"
            ]
        if len(listed) < len(_PARTS):
            missing = next(part for part in _PARTS if part not in listed)
            raise self.wrong_file(listed[0], f"the list {missing}.npy is not beside; give all three, or none")
        unknown = 0
        for part in _PARTS:
            for number, mp3 in enumerate(self._paths_of(part), start=1):
                if mp3 not in path_of:
                    unknown += 1
                    continue
                gathered.split(path_of[mp3], part, f"{self.where(part)}: entry {number}", FILTERED_SCHEME)
        return [f"{unknown} entries of the lists of {FILTERED_SCHEME} name no clip that is here"] if unknown else []

    def _paths_of(self, part: str) -> list[str]:
        """The MP3 files of a list: an array of texts `index<tab>path`."""
        with self.opened(part) as stream:
            try:
                entries = np.lib.format.read_array(io.BytesIO(stream.read()), allow_pickle=False)
            except (ValueError, EOFError, MemoryError, OverflowError) as error:
                problem = " ".join(str(error).split())
                raise self.wrong_file(part, f"is no .npy array of text ({problem})") from error
        if entries.ndim != 1 or entries.dtype.kind not in "US":
            raise self.wrong_file(part, f"is an array of {entries.dtype}, and text is published")
        try:
            texts = np.char.decode(entries, "utf-8") if entries.dtype.kind == "S" else entries
        except UnicodeDecodeError as error:
            raise self.wrong_file(part, f"is not UTF-8 ({error.reason})") from error
        return [text.partition("\t")[2] for text in texts.tolist()]


def _most_frequent(said: Mapping[str, tuple[int, str, list[str]]]) -> frozenset[str]:
    """The 50 tags on most clips; of equals the first by name, as `tags.top` chooses."""
    counts = Counter(tag for _, _, tags in said.values() for tag in tags)
    return frozenset(sorted(counts, key=lambda tag: (-counts[tag], tag))[:TOP_TAGS])


SOURCE = MagnaTagATune
