"""A table of tracks with sentences about them: a production library's (MuLaP 3.1), MusicCaps, LP-MusicCaps.

CSV, TSV, JSON lines and Parquet, by the file's ending. The manifest says which column is what.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipelines.sources.artists import artist_id
from pipelines.sources.base import SourceContext, SourceTables
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from pipelines.sources.random_split import RandomSplitSettings
from pipelines.sources.row_buffer import RowBuffer
from pipelines.sources.table_rows import FORMATS, NotATableError, cell_list, cell_text, table_rows
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.store import OutsideStoreError, relative_path
from schemas.tables import ANNOTATIONS, CAPTIONS, EXCLUSIONS, PUBLISHED, TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST

SPLITS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
          "dev": "valid", "test": "test", "evaluation": "test"}  # fmt: skip
OUR_SPLITS = ("train", "valid", "test", "extra", "student", "none")
_PLACEHOLDER = "{id}"
Columns = str | list[str] | None


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaptionFile(_Section):
    """One table, or several that a pattern names (`data/train-*.parquet`), and the published split that it is."""

    name: str
    split: str | None = None


class CaptionColumns(_Section):
    """Which column is what. A column that is not named is not read.

    Attributes:
        id: the track's own id; every row has another.
        caption: the sentence, or several columns with one each.
        artist, title, album, licence: as text.
        year: a whole number.
        audio: the path of the sound below `source.audio`.
        video: the video's id or path.
        tags: a list, or entries parted by `tag_separator`; several columns are one list each.
        split: the published split.
        parent, start, end: the longer recording that the track is cut from, and where, in seconds.
        recording: equal for rows that are the same recording; of several columns all must be equal.
    """

    id: str
    caption: Columns = None
    artist: str | None = None
    title: str | None = None
    album: str | None = None
    year: str | None = None
    licence: str | None = None
    audio: str | None = None
    video: str | None = None
    tags: Columns = None
    split: str | None = None
    parent: str | None = None
    start: str | None = None
    end: str | None = None
    recording: Columns = None

    def names(self) -> list[str]:
        """Every column that is read."""
        found: list[str] = []
        for value in self.model_dump().values():
            found += _several(value)
        return sorted(set(found))


def _several(value: Columns) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


class CaptionTableSettings(RandomSplitSettings):
    """The keys of `source:` for a table of captions.

    Attributes:
        files: the tables; a single name may stand alone.
        columns: see `CaptionColumns`.
        tag_separator: between tags in a cell; null when a cell is a list, also one written out (`['calm', 'sad']`).
        splits: our split for each value of the split column.
        audio_name: the sound's path for tables without an audio column, such as `{id}.wav`.
        audio_holds: whether a sound file is the clip alone, or all of the recording that the clip is a part of.
    """

    files: Annotated[list[CaptionFile], Field(min_length=1)]
    columns: CaptionColumns
    tag_separator: str | None = None
    splits: dict[str, str] = SPLITS
    audio_name: str | None = None
    audio_holds: Literal["clip", "parent"] = "clip"

    @field_validator("files", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        listed = [value] if isinstance(value, str | dict) else value
        return [{"name": v} if isinstance(v, str) else v for v in listed] if isinstance(listed, list) else listed

    @model_validator(mode="after")
    def _known_words(self) -> CaptionTableSettings:
        for file in self.files:
            if PurePosixPath(file.name).suffix not in FORMATS and not file.name.endswith(".gz"):
                raise ValueError(f"files: {file.name}: the name must end in one of {', '.join(FORMATS)}")
        for split in [*self.splits.values(), *(file.split for file in self.files if file.split is not None)]:
            if split not in OUR_SPLITS:
                raise ValueError(f"{split!r} is none of the splits {', '.join(OUR_SPLITS)}")
        if self.audio_name is not None and _PLACEHOLDER not in self.audio_name:
            raise ValueError(f"audio_name: {self.audio_name!r} has no {_PLACEHOLDER}")
        return self


class CaptionTable(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = CaptionTableSettings

    def __init__(self, settings: CaptionTableSettings, context: SourceContext) -> None:
        super().__init__(settings, context)
        self._splits = {value.casefold(): split for value, split in settings.splits.items()}

    @property
    def _own(self) -> CaptionTableSettings:
        return cast(CaptionTableSettings, self.settings)

    def files(self) -> Mapping[str, PublishedFile]:
        found: dict[str, PublishedFile] = {}
        for file in self._own.files:
            for name in self._matching(file.name):
                found.setdefault(name, PublishedFile((name,), "source.files names it"))
        return found

    def _matching(self, pattern: str) -> list[str]:
        if not any(sign in pattern for sign in "*?["):
            return [pattern]
        folder = PurePosixPath(pattern).parent.as_posix()
        below = "" if folder == "." or any(sign in folder for sign in "*?[") else folder
        names = [info.path for info in self.store.list(below) if fnmatchcase(info.path, pattern)]
        return names or [pattern]

    def files_are_clips(self) -> bool:
        return cast(CaptionTableSettings, self.settings).audio_holds == "clip"

    def read(self) -> SourceTables:
        rows, seen = RowBuffer(), set[str]()
        for file in self._own.files:
            for path in self._matching(file.name):
                self._read_file(path, file.split, rows, seen)
        tracks, published = rows.table(TRACKS), rows.table(PUBLISHED)
        drawn, told = self._own.drawn(seen, lists=published.num_rows > 0)
        if drawn is not None:
            published = pa.concat_tables([published, drawn])
        return SourceTables(
            tracks,
            rows.table(ANNOTATIONS),
            rows.table(EXCLUSIONS),
            published=published if published.num_rows else None,
            captions=rows.table(CAPTIONS),
            notes=(*self._notes(), *told),
        )

    def _read_file(self, path: str, split: str | None, rows: RowBuffer, seen: set[str]) -> None:
        ending = PurePosixPath(path.removesuffix(".gz")).suffix
        try:
            with self.opened(path) as stream:
                for line, row in table_rows(stream, ending, self._own.columns.names()):
                    where = f"{path}: line {line}"
                    problem = row if isinstance(row, str) else self._read_row(row, split, where, rows, seen)
                    if problem is not None:
                        rows.exclude(f"{path}:{line}", Reason.INVALID_ROW, f"line {line}: {problem}")
        except NotATableError as error:
            raise UsageError(f"{self.where(path)}: {error}") from error

    def _read_row(
        self, row: dict[str, Any], split: str | None, where: str, rows: RowBuffer, seen: set[str]
    ) -> str | None:
        """Add a row; return what is wrong with one that cannot be read."""
        columns = self._own.columns
        named = ""
        try:
            text: dict[str, str | None] = {}
            for key in ("id", "artist", "title", "album", "year", "licence", "audio", "video", "split", "parent",
                        "start", "end"):  # fmt: skip
                named = getattr(columns, key) or ""
                text[key] = cell_text(row.get(named)) if named else None
            track = text["id"]
            if track is None:
                return f"{columns.id} is empty"
            if track in seen:
                rows.exclude(track, Reason.DUPLICATE_ID, where)
                return None
            sentences = []
            for named in _several(columns.caption):
                said = cell_text(row.get(named))
                if said is not None:
                    sentences.append((named, said))
            if columns.caption is not None and not sentences:
                return f"{', '.join(_several(columns.caption))} is empty"
            tags = []
            for named in _several(columns.tags):
                tags += [(named, tag) for tag in cell_list(row.get(named), self._own.tag_separator)]
            same = [cell_text(row.get(named)) or "" for named in _several(columns.recording)]
            named = columns.year or ""
            year = None if text["year"] is None else _whole(text["year"])
            named = columns.start or ""
            start = None if text["start"] is None else _seconds(text["start"])
            named = columns.end or ""
            end = None if text["end"] is None else _seconds(text["end"])
            if start is not None and end is not None and end <= start:
                return f"{named} {end:g} is not after {columns.start} {start:g}"
            named = columns.audio or "audio_name"
            audio = text["audio"]
            if audio is None and self._own.audio_name is not None:
                audio = self._own.audio_name.replace(_PLACEHOLDER, track)
            if audio is not None:
                audio = relative_path(audio)
            named = columns.split or ""
            if text["split"] is not None:
                split = self._splits.get(text["split"].casefold())
                if split is None:
                    return f"{named} is {text['split']!r}, which source.splits does not list"
        except OutsideStoreError as error:
            return f"{named}: {error}"
        except ValueError as error:
            return f"{named} {error}"
        recording = "\x1f".join(same) if any(same) else track
        seen.add(track)
        rows.add(
            TRACKS,
            track_id=track,
            artist_id=self._artist(text["artist"], text["parent"] or recording),
            artist_name=text["artist"],
            album=text["album"],
            title=text["title"],
            year=year or None,
            duration_s=end - start if start is not None and end is not None else None,
            audio_uri=audio,
            video_uri=text["video"],
            parent_id=text["parent"],
            start_s=start,
            end_s=end,
            recording_id=text["parent"] or recording,
            licence=text["licence"],
        )
        for number, (source, said) in enumerate(sentences):
            rows.add(CAPTIONS, track_id=track, number=number, source=source, caption=said)
        for source, tag in tags:
            rows.add(ANNOTATIONS, track_id=track, source=source, raw_tag=tag, score=None)
        if split is not None:
            rows.add(PUBLISHED, scheme="published", track_id=track, split=split)
        return None

    def _artist(self, name: str | None, recording: str) -> str:
        if self._own.columns.artist is None:
            return recording
        return artist_id(name) if name is not None else UNKNOWN_ARTIST

    def _notes(self) -> tuple[str, ...]:
        if self._own.columns.artist is not None:
            return ()
        return ("the source publishes no artists: each recording is taken for an artist of its own",)


def _whole(text: str) -> int:
    number = _seconds(text)
    if number != int(number) or number > 9999:
        raise ValueError(f"{text!r} is no year")
    return int(number)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise ValueError(f"{text!r} is no number from 0")
    return number


SOURCE = CaptionTable
