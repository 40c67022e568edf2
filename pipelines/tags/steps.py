"""MSD500's six steps (Won's thesis, 5.2.3) over Arrow tables, each a pure function; that of tags into groups, which
looks at distinct tags alone, is `grouping`, and these count for it and apply what it finds.

`annotations` is a table with at least track_id, raw_tag, source and score; steps return what stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.artists import artist_key
from pipelines.tags.grouping import TagCount
from schemas.coded import Coded, Numbers, coded, decoded, distinct_numbers
from schemas.errors import UsageError

_COUNTED_SPLITS = ("train", "valid", "test")


def keep_listened(annotations: pa.Table, listened: pa.Array) -> pa.Table:
    """Step 1: keep annotations of tracks in the listening data."""
    tracks = coded(annotations.column("track_id"))
    if len(tracks.values):
        # Of the whole listening data, a part of the annotations needs but a part.
        limits = pc.min_max(tracks.values).as_py()
        within = pc.and_(pc.greater_equal(listened, limits["min"]), pc.less_equal(listened, limits["max"]))
        listened = listened.filter(within)
    heard = np.append(pc.is_in(tracks.values, value_set=listened).to_numpy(zero_copy_only=False), False)
    return annotations.filter(pa.array(heard[tracks.codes]))


def drop_low_scores(annotations: pa.Table, min_score: float) -> pa.Table:
    """Step 2: drop scores of 0 (as the paper) when `min_score` is 0, else those below it. No score stays."""
    score = annotations.column("score")
    enough = pc.greater(score, 0) if min_score == 0 else pc.greater_equal(score, min_score)
    return annotations.filter(pc.fill_null(enough, True))


def drop_overtagged(annotations: pa.Table, max_tags: int | None) -> tuple[pa.Table, pa.Table]:
    """Step 3: drop tracks with more than `max_tags` distinct tags as typed.

    Returns:
        the annotations that stay, and a table (track_id, tags) of the tracks that do not.
    """
    tracks, tags = coded(annotations.column("track_id")), coded(annotations.column("raw_tag"))
    counts = np.bincount(_distinct(tracks, tags)[0], minlength=len(tracks.values))
    many = counts > (max_tags if max_tags is not None else 1 << 62)
    over = pa.table({"track_id": tracks.values.filter(pa.array(many)), "tags": pa.array(counts[many])})
    if over.num_rows == 0:
        return annotations, over
    return annotations.filter(pa.array(~many[tracks.codes])), over


def _distinct(first: Coded, second: Coded) -> tuple[Numbers, Numbers]:
    """The distinct pairs of codes that rows have, in order."""
    width = max(1, len(second.values))
    pairs = distinct_numbers(first.codes * width + second.codes)
    return pairs // width, pairs % width


def drop_artist_names(annotations: pa.Table, names: Mapping[str, str], kept: Iterable[str]) -> pa.Table:
    """Drop an artist's own name as a tag of that artist's tracks, unless it is in the taxonomy.

    Args:
        names: artist name by track id.
        kept: keys of `artist_key` that the taxonomy knows (blues and chicago are artists too).
    """
    if annotations.num_rows == 0:
        return annotations
    known = frozenset(kept)
    tags, tracks = coded(annotations.column("raw_tag")), coded(annotations.column("track_id"))
    occurring = [distinct_numbers(found.codes) for found in (tracks, tags)]
    ids, raw = (
        found.values.take(pa.array(rows)).to_pylist() for found, rows in zip((tracks, tags), occurring, strict=True)
    )
    artists = [artist_key(names.get(track) or "") for track in ids]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(artists)) if key and key not in known}
    of_tracks, of_tags = np.full(len(tracks.values), -2), np.full(len(tags.values), -1)
    of_tracks[occurring[0]] = [numbers.get(key, -2) for key in artists]
    of_tags[occurring[1]] = [numbers.get(key, -1) for key in map(artist_key, raw)]
    same = of_tags[tags.codes] == of_tracks[tracks.codes]
    return annotations.filter(pa.array(~same))


def count_tags(annotations: pa.Table) -> pa.Table:
    """Count the tracks of every tag as typed; input to grouping (steps 4 and 5 see tags, not tracks).

    Returns:
        a table (raw_tag, source, n_tracks, n_in_all): tracks that have the tag from the source, and from any.
    """
    tags, tracks = coded(annotations.column("raw_tag")), coded(annotations.column("track_id"))
    sources = coded(annotations.column("source"))
    width = max(1, len(sources.values))
    of_source = distinct_numbers((tags.codes * width + sources.codes) * max(1, len(tracks.values)) + tracks.codes)
    keys, counts = np.unique(of_source // max(1, len(tracks.values)), return_counts=True)
    in_all = np.bincount(_distinct(tags, tracks)[0], minlength=len(tags.values))
    return pa.table(
        {
            "raw_tag": tags.values.take(pa.array(keys // width)),
            "source": sources.values.take(pa.array(keys % width)),
            "n_tracks": pa.array(counts, pa.int64()),
            "n_in_all": pa.array(in_all[keys // width], pa.int64()),
        }
    )


def merge_counts(parts: Iterable[pa.Table]) -> list[TagCount]:
    """Add up the counts of several parts of the annotations, one `TagCount` a tag as typed.

    No track is in two parts.
    """
    listed = list(parts)
    if not listed:
        return []
    table = pa.concat_tables(listed)
    tags, sources = coded(table.column("raw_tag")), coded(table.column("source"))
    count, width = len(tags.values), max(1, len(sources.values))
    by_name = pc.array_sort_indices(sources.values).to_numpy()
    place = np.argsort(by_name)[sources.codes]
    given = np.bincount(tags.codes * width + place, table.column("n_tracks").to_numpy(), count * width)
    # The source that gave a tag most; of two, the first by name.
    most = given.reshape(count, width).argmax(axis=1)
    part = np.repeat(np.arange(len(listed)), [one.num_rows for one in listed])
    once = np.unique(part * count + tags.codes, return_index=True)[1]
    totals = np.bincount(tags.codes[once], table.column("n_in_all").to_numpy()[once], count).astype(np.int64)
    order = pc.array_sort_indices(tags.values)
    columns = (tags.values, pa.array(totals), sources.values.take(pa.array(by_name[most])))
    return list(map(TagCount, *(column.take(order).to_pylist() for column in columns)))


def map_tags(annotations: pa.Table, vocabulary: pa.Table) -> pa.Table:
    """Replace tags as typed by their groups' names; return distinct (track_id, tag) pairs.

    Args:
        vocabulary: (raw_tag, tag); tags that it does not list are dropped.
    """
    tracks, raw = coded(annotations.column("track_id")), coded(annotations.column("raw_tag"))
    tags = coded(vocabulary.column("tag"))
    place = pc.index_in(raw.values, value_set=vocabulary.column("raw_tag").combine_chunks())
    place = pc.fill_null(place, -1).to_numpy()
    tag_of = np.append(np.append(tags.codes, -1)[place], -1)[raw.codes]
    listed = tag_of >= 0
    of_track, of_tag = _distinct(Coded(tracks.codes[listed], tracks.values), Coded(tag_of[listed], tags.values))
    return pa.table({"track_id": decoded(of_track, tracks.values), "tag": decoded(of_tag, tags.values)})


def keep_frequent(pairs: pa.Table, min_tracks: int, top: int | None) -> tuple[pa.Table, dict[str, int]]:
    """Step 6: keep tags on at least `min_tracks` tracks, and of those the `top` most frequent.

    Returns:
        the pairs that stay, and the number of tracks of every tag before the step.
    """
    tags = coded(pairs.column("tag"))
    counts = np.bincount(tags.codes, minlength=len(tags.values)).tolist()
    totals = dict(zip(tags.values.to_pylist(), counts, strict=True))
    enough = sorted((tag for tag, n in totals.items() if n >= min_tracks), key=lambda tag: (-totals[tag], tag))
    kept = pc.is_in(tags.values, value_set=pa.array(enough[:top], pa.string())).to_numpy(zero_copy_only=False)
    return pairs.filter(pa.array(np.append(kept, False)[tags.codes])), totals


def require_published(published: pa.Table) -> pa.Table:
    """Return the rows of the scheme `published`.

    Args:
        published: (scheme, track_id, split).

    Raises:
        UsageError: no such scheme, or no track in one of train, valid and test.
    """
    scheme = published.filter(pc.equal(published.column("scheme"), "published"))
    there = pc.unique(scheme.column("split")).to_pylist()
    missing = [split for split in _COUNTED_SPLITS if split not in there]
    if missing:
        raise UsageError(
            f"tags.min_tracks_per_split: the source's published split has no {', '.join(missing)}; "
            "leave the key out, or name a split that has all three in the source's settings"
        )
    return scheme


def keep_in_every_split(
    pairs: pa.Table, published: pa.Table, min_tracks: int
) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """ECALS' step: keep tags on at least `min_tracks` tracks in each of train, valid and test as published.

    Tracks of `extra` and `student` count for none of them, as in ECALS' released code: it counts the tracks that
    CALS calls train.

    Args:
        pairs: distinct (track_id, tag).
        published: (scheme, track_id, split); the scheme `published` is used.

    Returns:
        the pairs that stay, and by tag that leaves its tracks in each of the three splits.

    Raises:
        UsageError: no such scheme, or no track in one of the three.
    """
    scheme = require_published(published)
    there = pc.unique(scheme.column("split")).to_pylist()
    tracks, tags = coded(pairs.column("track_id")), coded(pairs.column("tag"))
    number_of = pa.array([_COUNTED_SPLITS.index(s) if s in _COUNTED_SPLITS else -1 for s in there], pa.int64())
    split_of_row = number_of.take(pc.index_in(scheme.column("split"), value_set=pa.array(there)).combine_chunks())
    place = pc.index_in(tracks.values, value_set=scheme.column("track_id").combine_chunks())
    split_of = pc.fill_null(split_of_row.take(place), -1).to_numpy(zero_copy_only=False)[tracks.codes]
    width = len(_COUNTED_SPLITS)
    counted = np.bincount(
        (tags.codes * width + split_of)[split_of >= 0], minlength=len(tags.values) * width
    ).reshape(-1, width)
    enough = counted.min(axis=1) >= min_tracks
    occurring = np.bincount(tags.codes, minlength=len(tags.values)) > 0
    names = tags.values.to_pylist()
    rare = {
        names[tag]: dict(zip(_COUNTED_SPLITS, counted[tag].tolist(), strict=True))
        for tag in np.flatnonzero(occurring & ~enough).tolist()
    }
    return pairs.filter(pa.array(enough[tags.codes])), rare


def tags_by_track(pairs: pa.Table, track_ids: pa.Array) -> pa.ListArray:
    """For each track of `track_ids` its tags in order; an empty list for a track without.

    Returns:
        a list<string> array, aligned with `track_ids`.
    """
    tracks, tags = coded(pairs.column("track_id")), coded(pairs.column("tag"))
    place = pc.fill_null(pc.index_in(tracks.values, value_set=track_ids), -1).to_numpy()
    positions = np.append(place, -1)[tracks.codes]
    known = np.flatnonzero(positions >= 0)
    rank = np.empty(len(tags.values), np.int64)
    order = pc.array_sort_indices(tags.values).to_numpy()
    rank[order] = np.arange(len(order))
    width = max(1, len(order))
    keys = np.sort(positions[known] * width + rank[tags.codes[known]])
    lengths = np.bincount(positions[known], minlength=len(track_ids))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    listed = tags.values.take(pa.array(order[keys % width]))
    return pa.ListArray.from_arrays(pa.array(offsets), listed)
