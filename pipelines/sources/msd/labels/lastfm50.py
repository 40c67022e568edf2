"""The 50 most frequent Last.fm tags, as J. Lee released them (music_dataset_split) after K. Choi
(MSD_split_for_tagging): a vector a track, and lists of the tracks that have more than 29.1 s of sound.

The lists are train and test; the first 201,680 of train are train, the others valid (the release's README).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.sources.msd.label_columns import label_table, marked, published_table, shown, texts
from pipelines.sources.msd.label_source import LabelSource, LabelTables, MillionSongFiles
from pipelines.sources.pickles import unpickled
from pipelines.sources.published_files import PublishedFile
from schemas.errors import UsageError

NAME = "lastfm50"
TAGS = 50
PUBLISHED_TRAIN = 201_680
_FOLDERS = ("", "lastfm_annotation/", "MSD_split/")
_FROM = "from the repository jongpillee/music_dataset_split, folder MSD_split"


def _file(name: str, about: str, required: bool = True) -> PublishedFile:
    return PublishedFile(tuple(folder + name for folder in _FOLDERS), f"{about}, {_FROM}", required)


class Lastfm50(LabelSource):
    """See the module."""

    files: Mapping[str, PublishedFile] = {
        f"{NAME}.tags": _file("50tagList.txt", "the 50 tags (417 bytes)"),
        f"{NAME}.vectors": _file("msd_id_to_tag_vector.cP", "a vector of 50 for each track (below 100 MB)"),
        f"{NAME}.train": _file("filtered_list_train.cP", "the ids of train and valid (about 6 MB)"),
        f"{NAME}.valid": _file("filtered_list_valid.cP", "the ids of valid, where they lie apart", False),
        f"{NAME}.test": _file("filtered_list_test.cP", "the ids of test (0.8 MB)"),
    }

    def files_for(self, *, labels: bool, split: bool) -> Mapping[str, PublishedFile]:
        if labels:
            return self.files
        return {key: file for key, file in self.files.items() if key.split(".")[1] in ("train", "valid", "test")}

    def read(self, files: MillionSongFiles, tracks: Any) -> LabelTables:
        train, test = self._ids(files, "train"), self._ids(files, "test")
        if files.has(f"{NAME}.valid"):
            valid = self._ids(files, "valid")
        else:
            train, valid = train[:PUBLISHED_TRAIN], train[PUBLISHED_TRAIN:]
        published = published_table({"train": train, "valid": valid, "test": test}, files.where(f"{NAME}.train"))
        if not files.has(f"{NAME}.vectors"):
            return LabelTables(label_table(NAME, [], [], [], []), published=published)
        names = [line.strip() for _, line in files.lines(f"{NAME}.tags") if line.strip()]
        if len(names) != TAGS or len(set(names)) != TAGS:
            raise UsageError(f"{files.where(f'{NAME}.tags')}: {len(set(names))} tags, and {TAGS} are published")
        listed = [*train, *valid, *test]
        rows, others = self._vectors(files, listed)
        where = files.where(f"{NAME}.vectors")
        track_codes, tag_codes = marked(rows, listed, TAGS, where)
        note = f"{NAME}: {len(listed):,} tracks of the filtered lists"
        if others:
            note += f"; {others:,} with a vector are in no list (29.1 s of sound or less) and left out, as released"
        annotations = label_table(NAME, listed, track_codes, names, tag_codes)
        return LabelTables(annotations, published=published, notes=(note,))

    def _ids(self, files: MillionSongFiles, name: str) -> list[str]:
        where = files.where(f"{NAME}.{name}")
        with files.opened(f"{NAME}.{name}") as stream:
            return texts(unpickled(stream.read(), where), where)

    def _vectors(self, files: MillionSongFiles, listed: list[str]) -> tuple[Any, int]:
        """The vectors of the listed tracks, (tracks, 50), and how many others have one."""
        where = files.where(f"{NAME}.vectors")
        with files.opened(f"{NAME}.vectors") as stream:
            vectors = unpickled(stream.read(), where)
        if not isinstance(vectors, dict):
            raise UsageError(f"{where}: is no dictionary from tracks to vectors")
        named = dict(zip(texts(list(vectors), where), vectors.values(), strict=True))
        missing = sorted(set(listed) - named.keys())
        if missing:
            raise UsageError(f"{where}: {len(missing):,} listed tracks have no vector ({shown(missing)})")
        rows = np.zeros((len(listed), TAGS), np.float32)
        for row, track_id in zip(rows, listed, strict=True):
            vector = np.asarray(named[track_id])
            if vector.size != TAGS or vector.dtype.kind not in "biuf":
                raise UsageError(f"{where}: the vector of {track_id} is no vector of {TAGS} numbers")
            row[:] = vector.reshape(-1)
        return rows, len(named) - len(listed)


LABELS = Lastfm50()
