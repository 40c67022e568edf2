"""The audit of one scheme: what two splits share, and how splits follow the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.overlap import UNUSED
from pipelines.splits.measures import label_distance, share_deviation
from schemas.coded import places
from schemas.manifest import split_order
from schemas.order import row_order

FEW_ARTISTS = 5
LISTED = 20
# Rows of `leaks` for one kind of one fold of one scheme; audit.json counts all.
LEAKS_LIMIT = 100_000

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Keys:
    """What may lie in two splits.

    Attributes:
        kind: artist, recording, caption.
        names: string (keys,).
        rows, codes: int64 (entries,), a track's row and its key's place in `names`.
    """

    kind: str
    names: pa.Array
    rows: Codes
    codes: Codes


@dataclass(frozen=True)
class Audited:
    """A dataset as the audit needs it: columns by the row of the track, in the order of `track_ids`.

    Attributes:
        track_ids: string (rows,), sorted.
        artists: int64 (rows,), who made it, as codes.
        credited, recordings, captions: what may lie in two splits; collaborators are credited, too.
        captioned: bool (rows,).
        tag_rows, tag_codes: int64 (annotations,): tags of tracks, as places in `vocabulary`.
        vocabulary: the tags.
    """

    track_ids: pa.Array
    artists: Codes
    credited: Keys
    recordings: Keys
    captions: Keys
    captioned: npt.NDArray[np.bool_]
    tag_rows: Codes
    tag_codes: Codes
    vocabulary: Sequence[str]


def audited(tracks: pa.Table, labels: pa.Table, vocabulary: Sequence[str]) -> Audited:
    """Read a dataset's tables into rows and codes.

    Args:
        tracks: track_id, artist_id, collaborators, recording_id.
        labels: track_id, tags, caption; of tracks that are not in `tracks`, nothing is kept.
    """
    order = row_order(tracks, ["track_id"]).rows
    tracks = tracks if order is None else tracks.take(pa.array(order))
    ids = tracks.column("track_id").combine_chunks()
    row_of = places(labels.column("track_id").combine_chunks(), ids)
    labels = labels.filter(pc.is_valid(row_of))
    label_rows = row_of.drop_null().to_numpy().astype(np.int64)
    captions = labels.column("caption").combine_chunks()
    has_caption = pc.is_valid(captions).to_numpy(zero_copy_only=False)
    captioned = np.zeros(len(ids), np.bool_)
    captioned[label_rows[has_caption]] = True
    made_by = tracks.column("artist_id").combine_chunks()
    collaborators = tracks.column("collaborators")
    lengths = pc.fill_null(pc.list_value_length(collaborators), 0).to_numpy()
    beside = pc.list_flatten(collaborators).combine_chunks()
    rows = np.arange(len(ids), dtype=np.int64)
    credited = _keys(
        "artist", pa.concat_arrays([made_by, beside]), np.concatenate([rows, np.repeat(rows, lengths)])
    )
    tags = labels.column("tags")
    counts = pc.list_value_length(tags).to_numpy()
    place = pc.index_in(pc.list_flatten(tags), value_set=pa.array(vocabulary, pa.string()))
    known = pc.is_valid(place).to_numpy()
    tag_rows = np.repeat(label_rows, counts)[known]
    tag_codes = place.drop_null().to_numpy().astype(np.int64)
    again = np.zeros(len(tag_rows), np.bool_)  # a tag that stands twice on a track is one
    again[1:] = (tag_rows[1:] == tag_rows[:-1]) & (tag_codes[1:] == tag_codes[:-1])
    return Audited(
        ids,
        credited.codes[: len(ids)],
        credited,
        _keys("recording", tracks.column("recording_id").combine_chunks(), rows),
        _keys("caption", captions.drop_null(), label_rows[has_caption]),
        captioned,
        tag_rows[~again],
        tag_codes[~again],
        vocabulary,
    )


def _keys(kind: str, values: pa.Array, rows: Codes) -> Keys:
    encoded = values.dictionary_encode()
    return Keys(kind, encoded.dictionary, rows, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))


def audit_scheme(
    dataset: Audited, assigned: pa.Table, learnt_from: frozenset[str], ratios: Mapping[str, float] | None
) -> tuple[dict[str, Any], list[pa.Table]]:
    """Audit one assignment of tracks to splits.

    Args:
        assigned: track_id, split.
        learnt_from: the splits that models learn from: a leak is something that one of these shares with a split
            that is measured on, or that two of those share.

    Returns:
        an entry of `schemes`, and for each kind the rows of `leaks`, less scheme and fold.
    """
    names = split_order(set(pc.unique(assigned.column("split")).to_pylist()) - {UNUSED})
    codes = np.full(len(dataset.track_ids), -1, np.int64)
    place = places(assigned.column("track_id").combine_chunks(), dataset.track_ids)
    split = pc.fill_null(pc.index_in(assigned.column("split"), value_set=pa.array(names, pa.string())), -1)
    there = pc.is_valid(place).to_numpy(zero_copy_only=False)
    codes[place.drop_null().to_numpy()] = split.to_numpy()[there]
    names, codes = _renumbered(names, codes)
    labelled = np.where(dataset.captioned, codes, -1)
    sizes = np.bincount(labelled[labelled >= 0], minlength=len(names))
    counted = [name for name, size in zip(names, sizes, strict=True) if size]
    counts = _tag_counts(dataset, labelled, len(names))
    used, used_counts = sizes[sizes > 0], counts[sizes > 0]
    shares = dict(zip(counted, (used / max(1, used.sum())).tolist(), strict=True))
    wanted = ratios if ratios and set(counted) <= set(ratios) else shares
    mean, largest = share_deviation(used_counts, wanted, counted) if counted else (0.0, 0.0)
    measured = np.array([name not in learnt_from for name in names], np.bool_)
    leaks = [
        _leaks(dataset, keys, codes if keys.kind != "caption" else labelled, names, measured)
        for keys in (dataset.credited, dataset.recordings, dataset.captions)
    ]
    content = {
        "splits": {
            name: {
                "tracks": int((codes == number).sum()),
                "labelled": int(sizes[number]),
                "artists": len(np.unique(dataset.artists[codes == number])),
                "share": shares.get(name, 0.0),
                "tags": int((counts[number] > 0).sum()),
            }
            for number, name in enumerate(names)
        },
        "shared": {
            "artists": {"count": leaks[0].count, "first": leaks[0].first()},
            "recordings": {"count": leaks[1].count, "first": leaks[1].first()},
            "captions": leaks[2].count,
        },
        "label_distance": label_distance(used_counts, used) if counted else 0.0,
        "share_deviation": {"mean": mean, "largest": largest},
        "shares_by_tag": {
            tag: dict(zip(counted, column, strict=True))
            for tag, column in zip(dataset.vocabulary, used_counts.T.tolist(), strict=True)
        },
        "few_artists": _few_artists(dataset, labelled, names, measured),
    }
    return content, [found.table for found in leaks]


def _renumbered(names: list[str], codes: Codes) -> tuple[list[str], Codes]:
    """Without splits that no track of the dataset is in."""
    there = np.bincount(codes[codes >= 0], minlength=len(names)) > 0
    number = np.append(np.cumsum(there) - 1, -1)  # the last for -1
    return [name for name, used in zip(names, there, strict=True) if used], number[codes]


def _tag_counts(dataset: Audited, labelled: Codes, splits: int) -> npt.NDArray[np.int64]:
    """int64 (splits, tags): labelled tracks of each split with each tag."""
    tags = len(dataset.vocabulary)
    where = labelled[dataset.tag_rows]
    flat = where[where >= 0] * tags + dataset.tag_codes[where >= 0]
    return np.bincount(flat, minlength=splits * tags).reshape(splits, tags).astype(np.int64)


@dataclass(frozen=True)
class _Leaks:
    """How many keys leak, and the first of them as rows of `leaks` less scheme and fold, by key."""

    count: int
    table: pa.Table

    def first(self) -> dict[str, list[str]]:
        head = self.table.slice(0, LISTED)
        return dict(zip(head.column("key").to_pylist(), head.column("splits").to_pylist(), strict=True))


def _leaks(
    dataset: Audited, keys: Keys, codes: Codes, names: Sequence[str], measured: npt.NDArray[np.bool_]
) -> _Leaks:
    """Keys that lie in two splits of which not both are learnt from."""
    where = codes[keys.rows]
    kept = where >= 0
    rows, key, where = keys.rows[kept], keys.codes[kept], where[kept]
    present = np.zeros((len(keys.names), len(names)), np.bool_)
    present[key, where] = True
    leaking = (present.sum(axis=1) > 1) & present[:, measured].any(axis=1)
    count = int(leaking.sum())
    if count:
        found = np.flatnonzero(leaking)
        by_name = pc.sort_indices(keys.names.take(pa.array(found))).to_numpy()[:LEAKS_LIMIT]
        rank = np.full(len(keys.names), -1, np.int64)
        rank[found[by_name]] = np.arange(len(by_name))
    else:
        rank = np.full(len(keys.names), -1, np.int64)
    listed = rank[key] >= 0
    by_split_name = np.argsort(np.array([sorted(names).index(name) for name in names], np.int64))
    alphabetical = np.argsort(by_split_name)
    order = np.lexsort((rows[listed], alphabetical[where[listed]], rank[key[listed]]))
    rows, where, ranked = rows[listed][order], where[listed][order], rank[key[listed]][order]
    # An artist who is credited twice on a track is one.
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]) | (ranked[1:] != ranked[:-1])
    rows, where, ranked = rows[fresh], where[fresh], ranked[fresh]
    starts = np.ones(len(rows), np.bool_)
    starts[1:] = (ranked[1:] != ranked[:-1]) | (where[1:] != where[:-1])
    listed_keys = int(ranked[-1]) + 1 if len(ranked) else 0
    offsets = np.concatenate([[0], np.cumsum(np.bincount(ranked[starts], minlength=listed_keys))]).astype(np.int32)
    table = pa.table(
        {
            "kind": pa.array([keys.kind] * listed_keys, pa.string()),
            "key": keys.names.take(pa.array(found[by_name])) if count else pa.array([], pa.string()),
            "splits": _lists(offsets, pa.array(names, pa.string()).take(pa.array(where[starts]))),
            "tracks": _lists(offsets, dataset.track_ids.take(pa.array(rows[starts]))),
            "n_tracks": pa.array(np.bincount(ranked, minlength=listed_keys).astype(np.int64)),
        }
    )
    return _Leaks(count, table)


def _lists(offsets: npt.NDArray[np.int32], values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _few_artists(
    dataset: Audited, labelled: Codes, names: Sequence[str], measured: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Tags that a measured split has from fewer than five artists, or half from one: no basis for a number."""
    rows = []
    artists = int(dataset.artists.max(initial=-1)) + 1
    tags = len(dataset.vocabulary)
    where = labelled[dataset.tag_rows]
    for number in np.flatnonzero(measured).tolist():
        kept = where == number
        pairs = dataset.tag_codes[kept] * artists + dataset.artists[dataset.tag_rows[kept]]
        distinct, tracks = np.unique(pairs, return_counts=True)
        tag = distinct // max(1, artists)
        n_artists, n_tracks = np.bincount(tag, minlength=tags), np.bincount(tag, tracks, minlength=tags)
        largest = np.zeros(tags, np.int64)
        np.maximum.at(largest, tag, tracks)
        share = largest / np.maximum(n_tracks, 1)
        few = (n_artists > 0) & ((n_artists < FEW_ARTISTS) | (share >= 0.5))
        rows += [
            {
                "tag": dataset.vocabulary[code],
                "split": names[number],
                "artists": int(n_artists[code]),
                "largest_share": float(share[code]),
            }
            for code in np.flatnonzero(few).tolist()
        ]
    return sorted(rows, key=lambda row: (row["tag"], row["split"]))
