"""MTG-Jamendo, from the TSV files as published (Bogdanov et al. 2019).

`path` is the folder of one published split's files (`autotagging_top50tags-train.tsv`, `-validation`, `-test`:
data/splits/split-0 of the published repository) or the repository itself. The official split comes along as the
scheme `published`.
"""

from __future__ import annotations

import math
import re
from typing import Any

from pipelines.sources.base import Source, SourceContext, SourceSettings, SourceTables
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.store import Store
from schemas.tables import ANNOTATIONS, EXCLUSIONS, PUBLISHED, TRACKS

PARTS = {"train": "train", "validation": "valid", "test": "test"}
_HEADER = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
_ID = re.compile(r"^(track|artist|album)_\d{6,8}$")


class MtgJamendoSettings(SourceSettings):
    """The keys of `source:` for MTG-Jamendo.

    Attributes:
        path: see the module.
        subset: the files' stem: autotagging_top50tags, autotagging_genre, autotagging_instrument, …
        split: which published split, when `path` is the repository.
        audio: the folder of the MP3 files as the PATH column names them (`15/215.mp3`); without it features
            cannot be built.
    """

    path: str | None = None
    subset: str = "autotagging_top50tags"
    split: int = 0
    audio: str | None = None


class MtgJamendo(Source):
    """See the module."""

    VERSION = 1
    Settings = MtgJamendoSettings
    LOCATION_KEYS = frozenset({"path", "audio"})
    PUBLISHED_IDS = True
    settings: MtgJamendoSettings

    def __init__(self, settings: MtgJamendoSettings, context: SourceContext) -> None:
        super().__init__(settings, context)
        if settings.path is None:
            raise UsageError(
                "source.path: is required; set it with --set source.path=DIR (the published TSV files)"
            )
        self._store = context.store(settings.path, "source.path")
        self._files = {part: self._find(f"{settings.subset}-{part}.tsv") for part in PARTS}

    def _find(self, name: str) -> str:
        nested = f"data/splits/split-{self.settings.split}/{name}"
        for path in (name, nested):
            if self._store.exists(path):
                return path
        raise UsageError(f"source.path: {self._store.root} has neither {name} nor {nested}")

    def expected_tracks(self) -> int:
        return sum(self._store.read_bytes(path).count(b"\n") - 1 for path in self._files.values())

    def inputs(self) -> dict[str, str]:
        return {part: self._store.sha256(path) for part, path in self._files.items()}

    def audio(self) -> Store | None:
        return None if self.settings.audio is None else self.context.store(self.settings.audio, "source.audio")

    def read(self) -> SourceTables:
        tracks: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        published: list[dict[str, str]] = []
        excluded: list[dict[str, Any]] = []
        seen: set[str] = set()
        for part, path in self._files.items():
            for track, tags in _rows(self._store, path):
                track_id = track["track_id"]
                if track_id in seen:
                    row = {"id": track_id, "stage": "source", "reason": str(Reason.DUPLICATE_ID), "detail": path}
                    excluded.append(row)
                    continue
                seen.add(track_id)
                tracks.append(track)
                published.append({"scheme": "published", "track_id": track_id, "split": PARTS[part]})
                annotations.extend({"track_id": track_id, "source": kind, "raw_tag": tag} for kind, tag in tags)
        return SourceTables(
            TRACKS.from_rows(tracks),
            ANNOTATIONS.from_rows(annotations),
            EXCLUSIONS.from_rows(excluded),
            published=PUBLISHED.from_rows(published),
        )


def _rows(store: Store, path: str) -> Any:
    """Every row of one file as (track, [(kind, tag)]); rows are ragged: one tag a column.

    Raises:
        UsageError: naming the file and the line that is not as published.
    """
    where = f"{store.root}/{path}"
    try:
        # At line feeds only: splitlines would also part a line at signs that a tag may hold.
        lines = [line.removesuffix("\r") for line in store.read_bytes(path).decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: is not UTF-8 ({error.reason} at byte {error.start})") from error
    if lines[0].split("\t") != _HEADER:
        raise UsageError(f"{where}: line 1: not the published header ({' '.join(_HEADER)}, tab-separated)")
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        cells = line.split("\t")
        if len(cells) < 6:
            raise UsageError(f"{where}: line {number}: {len(cells)} columns, and at least 6 are published")
        track_id, artist, album, audio, duration, *tags = cells
        for cell in (track_id, artist, album):
            if not _ID.match(cell):
                raise UsageError(f"{where}: line {number}: {cell!r} is no id of MTG-Jamendo")
        try:
            seconds = float(duration)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise UsageError(f"{where}: line {number}: duration {duration!r} is no number of seconds")
        split_tags = [tag.partition("---") for tag in tags if tag]
        for kind, bar, tag in split_tags:
            if not bar or not tag:
                raise UsageError(f"{where}: line {number}: tag {kind!r} is not written kind---tag")
        track = {
            "track_id": track_id,
            "artist_id": artist,
            "album": album,
            "duration_s": seconds,
            "audio_uri": audio,
            "recording_id": track_id,
        }
        yield track, [(kind, tag) for kind, _, tag in split_tags]


SOURCE = MtgJamendo
