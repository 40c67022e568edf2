"""Joins what several releases of labels say into the tables of one source, by numbers instead of strings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.order import stable_order
from schemas.tables import ANNOTATIONS


def joined_annotations(tables: list[tuple[str, pa.Table]], track_ids: pa.Array) -> tuple[pa.Table, list[str]]:
    """Several releases' annotations as one table in the order of `schemas.tables.ANNOTATIONS`.

    Args:
        tables: the name of a release and its annotations, text as strings or as dictionaries; the list is emptied,
            for two copies of a large release are one too many.
        track_ids: strings in ascending order; annotations of other tracks are left out.

    Returns:
        the table, whose text columns are dictionaries in ascending order with int32 codes, in one chunk; and a note
        for each release that names other tracks.
    """
    notes = []
    tracks: list[npt.NDArray[np.int32]] = []
    sources: list[pa.DictionaryArray] = []
    tags: list[pa.DictionaryArray] = []
    scores: list[pa.Array] = []
    while tables:
        name, table = tables.pop(0)
        named = _encoded(table.column("track_id"))
        places = pc.index_in(named.dictionary, value_set=track_ids)
        codes = pc.fill_null(places, -1).to_numpy()[named.indices.to_numpy()]
        known = codes >= 0
        if not known.all():
            left = int(np.count_nonzero(~known))
            unknown = int(np.count_nonzero(np.bincount(named.indices.to_numpy()[~known])))
            notes.append(f"{name}: {left:,} labels of {unknown:,} tracks that are not among the tracks: left out")
        keep = None if known.all() else pa.array(known)
        tracks.append(codes[known].astype(np.int32))
        sources.append(_encoded(table.column("source"), keep))
        tags.append(_encoded(table.column("raw_tag"), keep))
        score = table.column("score").cast(pa.float64())
        scores.extend((score if keep is None else score.filter(keep)).chunks)
        del table, named, codes, known, score
    track = np.concatenate(tracks) if tracks else np.zeros(0, np.int32)
    source, source_names = _ranked(sources)
    tag, tag_names = _ranked(tags)
    score = pa.concat_arrays(scores) if scores else pa.array([], pa.float64())
    del tracks[:], scores[:]
    key = (track.astype(np.int64) * max(1, len(source_names)) + source) * max(1, len(tag_names)) + tag
    if np.any(key[1:] <= key[:-1]):
        order = stable_order(key)
        if np.any(np.diff(key[order]) == 0):
            # By score too, those without one last.
            value = pc.fill_null(score, np.inf).to_numpy()
            order = np.lexsort((value, key))
        del key
        track = track[order]
        source = source[order]
        tag = tag[order]
        score = score.take(pa.array(order))
    joined = pa.table(
        {
            "track_id": pa.DictionaryArray.from_arrays(track, track_ids),
            "source": pa.DictionaryArray.from_arrays(source, source_names),
            "raw_tag": pa.DictionaryArray.from_arrays(tag, tag_names),
            "score": score,
        }
    )
    return joined.select(ANNOTATIONS.schema.names), notes


def _encoded(column: pa.ChunkedArray, keep: pa.Array | None = None) -> pa.DictionaryArray:
    """Text as one dictionary array."""
    if keep is not None:
        column = column.filter(keep)
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # pyarrow gives an empty column so
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], pa.string()).dictionary_encode()
    return whole.cast(pa.dictionary(pa.int32(), pa.string()))


def _ranked(parts: list[pa.DictionaryArray]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Codes into the ascending order of all the parts' values, and these values, each in use at least once.
    The parts are let go."""
    if not parts:
        return np.zeros(0, np.int32), pa.array([], pa.string())
    whole = pa.chunked_array(parts).unify_dictionaries()
    parts.clear()
    values = whole.chunk(0).dictionary
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in whole.chunks])
    used = np.zeros(len(values), bool)
    used[codes] = True
    if used.all() and (len(values) < 2 or pc.all(pc.greater(values[1:], values[:-1])).as_py()):
        return codes, values
    order = pc.sort_indices(values).to_numpy()
    order = order[used[order]]
    rank = np.zeros(len(values), np.int32)
    # A dictionary may hold a value twice; both are one here.
    ordered = values.take(pa.array(order))
    first = np.ones(len(order), bool)
    if len(order) > 1:
        first[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    rank[order] = np.cumsum(first) - 1
    return rank[codes], ordered.filter(pa.array(first))
