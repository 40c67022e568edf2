"""ECALS as released (Doh et al. 2023; record 7107130 on Zenodo): 1,054 tags of the tracks of CALS, for import and
audit. `manifests/ecals.yaml` makes it anew from what it was made of.

`annotation.json` maps a track to {tag, release, artist_name, year, title, track_id}; `ecals_track_split.json` has
the lists train_track, valid_track, test_track and extra_track, where extra are CALS' student tracks with labels.
`multiquery_samples.json` maps each of 1,000 tracks of test to its caption: the pairs of the paper's retrieval.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sources.json_members import NoJsonObjectError, members
from pipelines.sources.msd.label_columns import Coder, label_table, published_table, shown, taxonomy_table, texts
from pipelines.sources.msd.label_source import LabelSource, LabelTables, MillionSongFiles
from pipelines.sources.published_files import PublishedFile
from schemas.errors import UsageError
from schemas.tables import PUBLISHED_PAIRS

NAME = "ecals"
SPLITS = {f"{name}_track": name for name in ("train", "valid", "test", "extra")}
_FOLDERS = ("", "ecals_annotation/")
_FROM = "from dataset.tar.gz of record 7107130 on Zenodo, folder ecals_annotation"


def _file(name: str, about: str, required: bool = True) -> PublishedFile:
    return PublishedFile(tuple(folder + name for folder in _FOLDERS), f"{about}, {_FROM}", required)


class Ecals(LabelSource):
    """See the module."""

    files: Mapping[str, PublishedFile] = {
        f"{NAME}.annotation": _file("annotation.json", "tags of 513,977 tracks (some 200 MB)"),
        f"{NAME}.split": _file("ecals_track_split.json", "the split (some 12 MB)"),
        f"{NAME}.tags": _file("ecals_tags.json", "the 1,054 tags (some 20 kB)", False),
        f"{NAME}.tag_info": _file("ecals_tag_info.json", "the tags' categories", False),
    }

    pair_files: Mapping[str, PublishedFile] = {
        f"{NAME}.pairs": _file("multiquery_samples.json", "the 1,000 retrieval pairs", False)
    }

    def files_for(self, *, labels: bool, split: bool) -> Mapping[str, PublishedFile]:
        left = set() if labels else {f"{NAME}.annotation", f"{NAME}.tags", f"{NAME}.tag_info"}
        left |= set() if split else {f"{NAME}.split"}
        return {key: file for key, file in self.files.items() if key not in left}

    def read(self, files: MillionSongFiles, tracks: Any) -> LabelTables:
        published = self._split(files) if files.has(f"{NAME}.split") else None
        if not files.has(f"{NAME}.annotation"):
            return LabelTables(label_table(NAME, [], [], [], []), published=published)
        where = files.where(f"{NAME}.annotation")
        vocabulary = (
            set(texts(files.json(f"{NAME}.tags"), files.where(f"{NAME}.tags")))
            if files.has(f"{NAME}.tags")
            else None
        )
        ids: dict[str, int] = {}
        tags, tag_codes, track_codes = Coder(where), array("i"), array("i")
        with files.opened(f"{NAME}.annotation") as stream:
            try:
                for track_id, entry in members(stream):
                    listed = _tags_of(entry, f"{where}: {track_id}")
                    if track_id in ids:
                        raise UsageError(f"{where}: {track_id} stands twice")
                    ids[track_id] = len(ids)
                    tag_codes.extend(map(tags.__getitem__, listed))
                    track_codes.extend([ids[track_id]] * len(listed))
            except NoJsonObjectError as error:
                raise UsageError(f"{where}: is no JSON object of tracks ({error})") from error
        if vocabulary is not None and (unknown := sorted(set(tags) - vocabulary)):
            raise UsageError(f"{where}: {len(unknown)} tags are not in ecals_tags.json ({shown(unknown)})")
        notes = [f"{NAME}: {len(ids):,} tracks, {len(tags):,} tags"]
        if published is not None:
            missing = len(set(published.column("track_id").to_pylist()) - ids.keys())
            if missing:
                notes.append(f"{NAME}: {missing:,} tracks of the split have no annotation")
        codes = np.array(track_codes, np.int32)
        annotations = label_table(NAME, list(ids), codes, tags.texts(), np.array(tag_codes, np.int32))
        taxonomy = self._taxonomy(files) if files.has(f"{NAME}.tag_info") else None
        return LabelTables(annotations, taxonomy=taxonomy, published=published, notes=tuple(notes))

    def pairs(self, files: MillionSongFiles) -> Any:
        if not files.has(f"{NAME}.pairs"):
            return None
        where = files.where(f"{NAME}.pairs")
        content = files.json(f"{NAME}.pairs")
        if not isinstance(content, dict):
            raise UsageError(f"{where}: is no object from tracks to captions")
        for track_id, caption in content.items():
            if not isinstance(caption, str) or not caption.strip():
                raise UsageError(f"{where}: {track_id}: has no caption")
        columns = {
            "pair_id": list(range(len(content))),
            "track_id": list(content),
            "caption": list(content.values()),
        }
        return pa.table(columns, schema=PUBLISHED_PAIRS.schema)

    def _split(self, files: MillionSongFiles) -> Any:
        where = files.where(f"{NAME}.split")
        content = files.json(f"{NAME}.split")
        if not isinstance(content, dict) or not {"train_track", "valid_track", "test_track"} <= content.keys():
            raise UsageError(f"{where}: has no lists train_track, valid_track and test_track")
        if unknown := sorted(content.keys() - SPLITS.keys()):
            raise UsageError(f"{where}: {unknown[0]!r} is none of {', '.join(SPLITS)}")
        lists = {SPLITS[key]: texts(ids, f"{where}: {key}") for key, ids in content.items()}
        return published_table(lists, where)

    def _taxonomy(self, files: MillionSongFiles) -> Any:
        where = files.where(f"{NAME}.tag_info")
        content = files.json(f"{NAME}.tag_info")
        if not isinstance(content, dict):
            raise UsageError(f"{where}: is no object from tags to categories")
        categories = {}
        for tag, found in content.items():
            first = found[0] if isinstance(found, list) and found else found
            if not isinstance(first, str):
                raise UsageError(f"{where}: {tag!r} has no category")
            categories[tag] = first
        return taxonomy_table(categories)


def _tags_of(entry: Any, where: str) -> list[str]:
    listed = entry.get("tag") if isinstance(entry, dict) else None
    if not isinstance(listed, list) or not all(isinstance(tag, str) for tag in listed):
        raise UsageError(f"{where}: has no list 'tag' of text")
    return listed


LABELS = Ecals()
