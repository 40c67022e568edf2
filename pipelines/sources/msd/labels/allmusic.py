"""AllMusic's genres, styles, moods and themes of the albums that the tracks are from (Schindler and Knees 2019)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.sources.msd.hdf_frame import read_frame
from pipelines.sources.msd.label_columns import Coder, label_table, taxonomy_table
from pipelines.sources.msd.label_source import LabelSource, LabelTables, MillionSongFiles
from pipelines.sources.published_files import PublishedFile
from schemas.errors import UsageError

NAME = "allmusic"
# In the order in which a tag that stands in several columns (Holiday is a genre and a theme) gets its category.
COLUMNS = {"genres": "genre", "styles": "style", "moods": "mood", "themes": "theme"}
_FOLDER = "ground_truth_assignments/AMG_Multilabel_tagsets"


class AllMusic(LabelSource):
    """See the module. A cell is the list of a track's tags, or NaN where AllMusic has none."""

    files: Mapping[str, PublishedFile] = {
        f"{NAME}.labels": PublishedFile(
            (
                "msd_amglabels_all.h5",
                f"allmusic_annotation/{_FOLDER}/msd_amglabels_all.h5",
                f"{_FOLDER}/msd_amglabels_all.h5",
            ),
            f"AllMusic's tags (below 100 MB), from the repository tuwien-musicir/msd, folder {_FOLDER}",
        )
    }

    def read(self, files: MillionSongFiles, tracks: Any) -> LabelTables:
        where = files.where(f"{NAME}.labels")
        with files.opened(f"{NAME}.labels") as stream:
            index, columns = read_frame(stream, where)
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise UsageError(f"{where}: no column {', '.join(map(repr, missing))} in the published frame")
        coder = Coder(where)
        categories: dict[str, str] = {}
        lengths, codes, several = [], array("i"), 0
        for name, category in COLUMNS.items():
            before = len(codes)
            lengths.append(_lengths(columns.pop(name), index, coder, codes, f"{where}: column {name}"))
            in_use = np.unique(np.array(codes[before:], np.int32)).tolist()
            known = coder.texts()
            several += sum(known[code] in categories for code in in_use)
            categories = {**{known[code]: category for code in in_use}, **categories}
        track_codes = np.concatenate([np.repeat(np.arange(len(index), dtype=np.int32), n) for n in lengths])
        annotations = label_table(NAME, index, track_codes, coder.texts(), np.array(codes, np.int32))
        notes = [f"{NAME}: {len(categories):,} tags"]
        if several:
            notes.append(
                f"{NAME}: {several} tags are in several of {', '.join(COLUMNS)}; the first is their category"
            )
        return LabelTables(annotations, taxonomy=taxonomy_table(categories), notes=tuple(notes))


def _lengths(cells: list[Any], index: list[str], coder: Coder, codes: array[int], where: str) -> list[int]:
    """Append the codes of every cell's tags; return how many each has."""
    lengths = []
    for track_id, cell in zip(index, cells, strict=True):
        if cell is None or (isinstance(cell, float) and cell != cell):
            lengths.append(0)
            continue
        tags = cell.tolist() if isinstance(cell, np.ndarray) else cell
        if not isinstance(tags, list | tuple):
            raise UsageError(f"{where}: the cell of {track_id} is no list of tags ({str(cell)[:60]!r})")
        try:
            codes.extend(map(coder.__getitem__, tags))
        except TypeError as error:
            raise UsageError(f"{where}: the cell of {track_id} is no list of text") from error
        lengths.append(len(tags))
    return lengths


LABELS = AllMusic()
