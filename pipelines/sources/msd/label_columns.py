"""From lists, matrices and codes, as releases store labels, to the columns of our tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import UsageError
from schemas.tables import PUBLISHED, TAXONOMY

PUBLISHED_SCHEME = "published"
_CODED = pa.dictionary(pa.int32(), pa.string())
_LABELS = pa.schema(
    [("track_id", _CODED), ("source", _CODED), ("raw_tag", _CODED), pa.field("score", pa.float64())]
)

Codes = npt.NDArray[np.int32]


class Coder(dict[Any, int]):
    """Numbers texts in the order in which they first come. `coder[text]` gives the number.

    Raises:
        UsageError: something that is no text, naming `where`.
    """

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def __missing__(self, key: Any) -> int:
        if not isinstance(key, str):
            raise UsageError(f"{self._where}: {str(key)[:60]!r} is no text")
        code = len(self)
        self[key] = code
        return code

    def texts(self) -> list[str]:
        return list(self)


def texts(values: Any, where: str) -> list[str]:
    """A list or one-dimensional array of text or ASCII bytes as a list of text.

    Raises:
        UsageError: it is none, naming `where`.
    """
    if isinstance(values, np.ndarray):
        values = values.tolist() if values.ndim == 1 else None
    if not isinstance(values, list | tuple):
        raise UsageError(f"{where}: is no list of text")
    result = []
    for place, value in enumerate(values):
        if isinstance(value, bytes) and value.isascii():
            value = value.decode("ascii")
        if not isinstance(value, str):
            raise UsageError(f"{where}: item {place} is no text ({str(value)[:60]!r})")
        result.append(value)
    return result


def marked(matrix: Any, rows: Sequence[str], columns: int, where: str) -> tuple[Codes, Codes]:
    """The (row, column) numbers of the ones of a (tracks, tags) matrix of zeros and ones, row by row.

    Args:
        rows: the track of each row, for errors.

    Raises:
        UsageError: another shape, or a cell that is neither 0 nor 1.
    """
    values = np.asarray(matrix)
    if values.dtype.kind not in "biuf":
        raise UsageError(f"{where}: is no matrix of numbers")
    if values.shape != (len(rows), columns):
        shape = " x ".join(map(str, values.shape))
        raise UsageError(f"{where}: {shape} cells, and {len(rows)} tracks x {columns} tags are published")
    odd = np.flatnonzero(((values != 0) & (values != 1)).any(axis=1))
    if odd.size:
        raise UsageError(f"{where}: row {odd[0]} ({rows[odd[0]]}) has a cell that is neither 0 nor 1")
    tracks, tags = np.nonzero(values)
    return tracks.astype(np.int32), tags.astype(np.int32)


def label_table(
    source: str,
    track_ids: Sequence[str] | pa.Array,
    track_codes: Any,
    tags: Sequence[str],
    tag_codes: Any,
    scores: Any = None,
) -> pa.Table:
    """The columns of `schemas.tables.ANNOTATIONS`, one row a pair of codes; the texts are held once."""
    tracks = pa.array(np.asarray(track_codes, np.int32))
    count = len(tracks)
    columns = [
        pa.DictionaryArray.from_arrays(tracks, pa.array(track_ids, pa.string())),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([source], pa.string())),
        pa.DictionaryArray.from_arrays(pa.array(np.asarray(tag_codes, np.int32)), pa.array(tags, pa.string())),
        pa.nulls(count, pa.float64()) if scores is None else pa.array(scores, pa.float64()),
    ]
    return pa.Table.from_arrays(columns, schema=_LABELS)


def published_table(splits: Mapping[str, Sequence[str]], where: str) -> pa.Table:
    """The rows of `schemas.tables.PUBLISHED` from the tracks of each split.

    Raises:
        UsageError: a track stands twice.
    """
    place: dict[str, str] = {}
    for split, ids in splits.items():
        for track_id in ids:
            if track_id in place:
                raise UsageError(f"{where}: {track_id} is in {place[track_id]} and again in {split}")
            place[track_id] = split
    ids = sorted(place)
    return pa.table(
        {"scheme": [PUBLISHED_SCHEME] * len(ids), "track_id": ids, "split": [place[i] for i in ids]},
        schema=PUBLISHED.schema,
    )


def taxonomy_table(categories: Mapping[str, str]) -> pa.Table:
    """The rows of `schemas.tables.TAXONOMY` from each tag's category."""
    tags = sorted(categories)
    columns = {"raw_tag": tags, "category": [categories[tag] for tag in tags], "parent": [None] * len(tags)}
    return pa.table(columns, schema=TAXONOMY.schema)


def shown(names: Iterable[str], count: int = 3) -> str:
    """The first few names, for an error or a note."""
    listed = list(names)
    return ", ".join(listed[:count]) + (", …" if len(listed) > count else "")
