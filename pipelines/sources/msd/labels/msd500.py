"""MSD500 as released (M. Won, tag-based-music-retrieval): Last.fm's tags, cleaned by hand, in seven classes.

`track_tags.tsv` has no header; its columns are id, tag as typed, cleaned tag, class, score. The release calls the
ids song ids; those who use it join them to track ids. Both are understood: TR… is a track, SO… every track of the
song. `selected_tags.tsv`, also without a header, has the cleaned tags that were kept, and their classes.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.msd.label_columns import Coder, label_table, taxonomy_table
from pipelines.sources.msd.label_source import LabelSource, LabelTables, MillionSongFiles
from pipelines.sources.published_files import PublishedFile

NAME = "msd500"
# The published classes, in our words for them.
CLASSES = {
    "genre": "genre",
    "mood/character": "mood",
    "mood": "mood",
    "location": "location",
    "language/origin": "language",
    "language": "language",
    "instrument": "instrument",
    "activity": "activity",
    "decade": "decade",
}
_FOLDERS = ("", "msd500_annotation/", "msd500/")
_FROM = "from msd500.tar.gz, which the README of the repository minzwon/tag-based-music-retrieval links"


class Msd500(LabelSource):
    """See the module. A track's score of a cleaned tag is the best of the tags as typed."""

    files: Mapping[str, PublishedFile] = {
        f"{NAME}.tracks": PublishedFile(
            tuple(folder + "track_tags.tsv" for folder in _FOLDERS), f"tags of tracks (some 50 MB), {_FROM}"
        ),
        f"{NAME}.selected": PublishedFile(
            tuple(folder + "selected_tags.tsv" for folder in _FOLDERS), f"the 500 tags (some 10 kB), {_FROM}", False
        ),
    }

    def read(self, files: MillionSongFiles, tracks: Any) -> LabelTables:
        selected = self._selected(files) if files.has(f"{NAME}.selected") else None
        ids, tags = Coder(NAME), Coder(NAME)
        id_codes, tag_codes, scores = array("i"), array("i"), array("d")
        seen: dict[str, str] = {}
        conflicts, left = set(), 0
        columns = ("id", "typed", "cleaned", "class", "score")
        for line, row in files.rows(f"{NAME}.tracks", "\t", columns, header=False):
            tag, category = row["cleaned"], self._class(files, "tracks", line, row["class"])
            if selected is not None and tag not in selected:
                left += 1
                continue
            if seen.setdefault(tag, category) != category:
                conflicts.add(tag)
            if not row["id"].startswith(("TR", "SO")):
                raise files.wrong(f"{NAME}.tracks", line, f"{row['id']!r} is the id of no track and no song")
            id_codes.append(ids[row["id"]])
            tag_codes.append(tags[tag])
            scores.append(files.number(f"{NAME}.tracks", line, "score", row["score"]))
        notes = [f"{NAME}: {len(tags):,} cleaned tags"]
        if left:
            notes.append(f"{NAME}: {left:,} rows of tags that selected_tags.tsv does not name are left out")
        if conflicts and selected is None:
            notes.append(f"{NAME}: {len(conflicts):,} tags stand in several classes; the first row's class counts")
        rows = _best(
            np.array(id_codes, np.int64), np.array(tag_codes, np.int64), np.array(scores), max(1, len(tags))
        )
        names, rows, unknown = _as_tracks(ids.texts(), rows, files)
        if unknown:
            notes.append(f"{NAME}: {unknown:,} songs have no track in the metadata and are left out")
        annotations = label_table(NAME, names, rows[0], tags.texts(), rows[1], rows[2])
        categories = selected if selected is not None else seen
        return LabelTables(annotations, taxonomy=taxonomy_table(categories), notes=tuple(notes))

    def _selected(self, files: MillionSongFiles) -> dict[str, str]:
        found: dict[str, str] = {}
        for line, row in files.rows(f"{NAME}.selected", "\t", ("tag", "class"), header=False):
            category = self._class(files, "selected", line, row["class"])
            if found.setdefault(row["tag"], category) != category:
                raise files.wrong(f"{NAME}.selected", line, f"{row['tag']!r} stands in two classes")
        return found

    def _class(self, files: MillionSongFiles, key: str, line: int, name: str) -> str:
        if name not in CLASSES:
            raise files.wrong(f"{NAME}.{key}", line, f"{name!r} is none of the seven published classes")
        return CLASSES[name]


Rows = tuple[Any, Any, Any]


def _best(ids: Any, tags: Any, scores: Any, width: int) -> Rows:
    """One row an id and tag, with the best score."""
    order = np.lexsort((-scores, ids * width + tags))
    keys = (ids * width + tags)[order]
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    kept = order[first]
    return ids[kept], tags[kept], scores[kept]


def _as_tracks(ids: list[str], rows: Rows, files: MillionSongFiles) -> tuple[list[str], Rows, int]:
    """Rows by track instead of by song; how many songs have no track."""
    if not any(name.startswith("SO") for name in ids):
        return ids, rows, 0
    songs = files.songs()
    tracks_of: dict[str, list[str]] = {name: [name] if name.startswith("TR") else [] for name in ids}
    wanted = pa.array(sorted(name for name in ids if name.startswith("SO")), pa.string())
    known = songs.filter(pc.is_in(songs.column("song_id"), value_set=wanted))
    for song_id, track_id in zip(
        known.column("song_id").to_pylist(), known.column("track_id").to_pylist(), strict=True
    ):
        tracks_of[song_id].append(track_id)
    unknown = sum(not found for found in tracks_of.values())
    names = Coder(NAME)
    id_codes, tag_codes, scores = rows
    each = [[names[track] for track in tracks_of[name]] for name in ids]
    repeats = np.array([len(found) for found in each])[id_codes]
    tracks = np.array([code for place in id_codes.tolist() for code in each[place]], np.int64)
    tags, best = np.repeat(tag_codes, repeats), np.repeat(scores, repeats)
    found = _best(tracks, tags, best, int(tag_codes.max(initial=0)) + 1)
    return names.texts(), found, unknown


LABELS = Msd500()
