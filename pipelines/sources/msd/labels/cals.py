"""CALS as released (Won's thesis, 3.5.3; semi-supervised-music-tagging-transformer): 50 cleaned tags, and a split
in which no artist is in two of train, valid and test.

Unlabelled tracks are `student` or `none`. The release says that `none` are of the artists in train; by its own
counts they are of those in valid and test (249,471 of 765,886 unlabelled tracks are 32.6 %; valid and test have
29.9 % of the labelled), and `student` are the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.sources.msd.label_columns import label_table, marked, published_table, texts
from pipelines.sources.msd.label_source import LabelSource, LabelTables, MillionSongFiles
from pipelines.sources.pickles import array_of_npy
from pipelines.sources.published_files import PublishedFile
from schemas.errors import UsageError

NAME = "cals"
LABELLED = ("train", "valid", "test")
SPLITS = {name.upper(): name for name in (*LABELLED, "student", "none")}
# The columns of the binaries, as the release names them where it scores them.
# fmt: off
TAGS = (
    "rock", "pop", "indie", "alternative", "electronic", "hip-hop", "metal", "jazz", "punk", "folk",
    "alternative rock", "indie rock", "dance", "hard rock", "00s", "soul", "hardcore", "80s", "country",
    "classic rock", "punk rock", "blues", "chillout", "experimental", "heavy metal", "death metal", "90s",
    "reggae", "progressive rock", "ambient", "acoustic", "beautiful", "british", "rnb", "funk", "metalcore",
    "mellow", "world", "guitar", "trance", "indie pop", "christian", "house", "spanish", "latin", "psychedelic",
    "electro", "piano", "70s", "progressive metal",
)
# fmt: on
_FOLDERS = ("", "cals_annotation/", "data/splits/")
_FROM = "from the repository minzwon/semi-supervised-music-tagging-transformer, folder data/splits"


def _file(name: str, about: str, required: bool = True) -> PublishedFile:
    return PublishedFile(tuple(folder + name for folder in _FOLDERS), f"{about}, {_FROM}", required)


def _optional(file: PublishedFile) -> PublishedFile:
    return PublishedFile(file.names, file.about, required=False)


class Cals(LabelSource):
    """See the module. `msd_splits.tsv` says the split; without it the lists of ids do."""

    files: Mapping[str, PublishedFile] = {
        f"{NAME}.splits": _file("msd_splits.tsv", "the split of a million tracks (below 100 MB)"),
        f"{NAME}.train_ids": _file("train_ids.npy", "the ids of train (12 MB)"),
        f"{NAME}.valid_ids": _file("valid_ids.npy", "the ids of valid (2.5 MB)"),
        f"{NAME}.test_ids": _file("test_ids.npy", "the ids of test (2.5 MB)"),
        f"{NAME}.student_ids": _file("student_ids.npy", "the ids of the unlabelled tracks (37 MB)", False),
        f"{NAME}.train_binaries": _file("train_binaries.npy", "the labels of train (below 100 MB)"),
        f"{NAME}.valid_binaries": _file("valid_binaries.npy", "the labels of valid (14 MB or less)"),
        f"{NAME}.test_binaries": _file("test_binaries.npy", "the labels of test (14 MB or less)"),
        f"{NAME}.tags": PublishedFile(
            ("cals_tags.npy", "cals_annotation/cals_tags.npy"),
            "the 50 tags in the binaries' order, from dataset.tar.gz of record 7107130 on Zenodo",
            required=False,
        ),
    }

    def files_for(self, *, labels: bool, split: bool) -> Mapping[str, PublishedFile]:
        """Beside other labels the split is read when it is there; with its own labels it must be."""
        ids = {key: file for key, file in self.files.items() if key.endswith("_ids")}
        splits = {f"{NAME}.splits": self.files[f"{NAME}.splits"], **ids}
        if not labels:
            return {key: _optional(file) for key, file in splits.items()}
        if not split:
            return {k: f for k, f in self.files.items() if k not in (f"{NAME}.splits", f"{NAME}.student_ids")}
        return self.files

    def read(self, files: MillionSongFiles, tracks: Any) -> LabelTables:
        lists = {
            split: texts(self._array(files, f"{split}_ids"), files.where(f"{NAME}.{split}_ids"))
            for split in (*LABELLED, "student")
            if files.has(f"{NAME}.{split}_ids")
        }
        notes: list[str] = []
        published = None
        if files.has(f"{NAME}.splits"):
            published = self._splits(files)
            notes += _differences(published, lists)
        elif set(LABELLED) <= lists.keys():
            published = lists
            notes.append(f"{NAME}: the split is that of the lists of ids; msd_splits.tsv is not there")
        names = list(TAGS)
        if files.has(f"{NAME}.tags"):
            names = texts(self._array(files, "tags"), files.where(f"{NAME}.tags"))
            if names != list(TAGS):
                notes.append(f"{NAME}: cals_tags.npy names the tags otherwise than the release does; it counts")
        ids: list[str] = []
        rows, columns = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        for split in LABELLED:
            if files.has(f"{NAME}.{split}_binaries"):
                where = files.where(f"{NAME}.{split}_binaries")
                row, column = marked(self._array(files, f"{split}_binaries"), lists[split], len(names), where)
                rows.append((row + len(ids)).astype(np.int32))
                columns.append(column)
                ids += lists[split]
        annotations = label_table(NAME, ids, np.concatenate(rows), names, np.concatenate(columns))
        where = f"{files.store.root}: CALS"
        table = None if published is None else published_table(published, where)
        return LabelTables(annotations, published=table, notes=tuple(notes))

    def _array(self, files: MillionSongFiles, key: str) -> Any:
        with files.opened(f"{NAME}.{key}") as stream:
            return array_of_npy(stream.read(), files.where(f"{NAME}.{key}"))

    def _splits(self, files: MillionSongFiles) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in SPLITS.values()}
        for line, row in files.rows(f"{NAME}.splits", "\t", ("clip_ids", "splits")):
            split = SPLITS.get(row["splits"].strip().upper() or "NONE")
            if split is None:
                raise files.wrong(f"{NAME}.splits", line, f"{row['splits']!r} is none of {', '.join(SPLITS)}")
            found[split].append(row["clip_ids"])
        if not any(found[name] for name in LABELLED):
            raise UsageError(f"{files.where(f'{NAME}.splits')}: no track is in train, valid or test")
        return found


def _differences(published: Mapping[str, list[str]], lists: Mapping[str, list[str]]) -> list[str]:
    """Where the lists of ids say another split than the table."""
    notes = []
    for split, ids in lists.items():
        others = len(set(ids) - set(published[split]))
        if others:
            notes.append(
                f"{NAME}: {others:,} tracks of {split}_ids.npy are not in {split} by msd_splits.tsv, which counts"
            )
    return notes


LABELS = Cals()
