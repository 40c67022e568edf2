"""MSD500's six steps (Won's thesis, 5.2.3), each a pure function over Arrow tables.

`annotations` is a table with at least track_id, raw_tag, source and score; steps return what stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.artists import artist_key
from pipelines.tags.grouping import TagCount


def keep_listened(annotations: pa.Table, listened: pa.Array) -> pa.Table:
    """Step 1: keep annotations of tracks in the listening data."""
    return annotations.filter(pc.is_in(annotations.column("track_id"), value_set=listened))


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
    counts = annotations.group_by("track_id").aggregate([("raw_tag", "count_distinct")])
    counts = counts.rename_columns(["track_id", "tags"])
    over = counts.filter(pc.greater(counts.column("tags"), max_tags if max_tags is not None else 1 << 62))
    if over.num_rows == 0:
        return annotations, over
    leaving = pc.is_in(annotations.column("track_id"), value_set=over.column("track_id").combine_chunks())
    return annotations.filter(pc.invert(leaving)), over


def drop_artist_names(annotations: pa.Table, names: Mapping[str, str], kept: Iterable[str]) -> pa.Table:
    """Drop an artist's own name as a tag of that artist's tracks, unless it is in the taxonomy.

    Args:
        names: artist name by track id.
        kept: keys of `artist_key` that the taxonomy knows (blues and chicago are artists too).
    """
    if annotations.num_rows == 0:
        return annotations
    known = frozenset(kept)
    tags = pc.dictionary_encode(annotations.column("raw_tag").combine_chunks())
    tracks = pc.dictionary_encode(annotations.column("track_id").combine_chunks())
    codes: dict[str, int] = {}

    def code(name: str | None, absent: int) -> int:
        key = artist_key(name) if name else ""
        return codes.setdefault(key, len(codes)) if key and key not in known else absent

    tag_codes = np.array([code(tag, -1) for tag in tags.dictionary.to_pylist()], np.int64)
    track_codes = np.array([code(names.get(track), -2) for track in tracks.dictionary.to_pylist()], np.int64)
    same = tag_codes[tags.indices.to_numpy()] == track_codes[tracks.indices.to_numpy()]
    return annotations.filter(pa.array(~same))


def count_tags(annotations: pa.Table) -> pa.Table:
    """Count the tracks of every tag as typed; input to grouping (steps 4 and 5 see tags, not tracks).

    Returns:
        a table (raw_tag, source, n_tracks, n_in_all): tracks that have the tag from the source, and from any.
    """
    counts = annotations.group_by(["raw_tag", "source"]).aggregate([("track_id", "count_distinct")])
    in_all = annotations.group_by("raw_tag").aggregate([("track_id", "count_distinct")])
    counts = counts.rename_columns(["raw_tag", "source", "n_tracks"])
    return counts.join(in_all.rename_columns(["raw_tag", "n_in_all"]), "raw_tag")


def merge_counts(parts: Iterable[pa.Table]) -> list[TagCount]:
    """Add up the counts of several parts of the annotations, one `TagCount` a tag as typed.

    No track is in two parts.
    """
    listed = list(parts)
    if not listed:
        return []
    by_source = pa.concat_tables(listed).group_by(["raw_tag", "source"]).aggregate([("n_tracks", "sum")])
    by_source = by_source.sort_by(
        [("raw_tag", "ascending"), ("n_tracks_sum", "descending"), ("source", "ascending")]
    )
    # From the back, so that the first of a tag's sources, which gave it most, is what stays.
    tags, sources = (by_source.column(name).to_pylist()[::-1] for name in ("raw_tag", "source"))
    source_of = dict(zip(tags, sources, strict=True))
    totals: dict[str, int] = dict.fromkeys(tags[::-1], 0)
    for part in listed:
        once = part.group_by("raw_tag").aggregate([("n_in_all", "max")])
        for tag, number in zip(*(once.column(c).to_pylist() for c in ("raw_tag", "n_in_all_max")), strict=True):
            totals[tag] += number
    return [TagCount(tag, number, source_of[tag]) for tag, number in totals.items()]


def map_tags(annotations: pa.Table, vocabulary: pa.Table) -> pa.Table:
    """Replace tags as typed by their groups' names; return distinct (track_id, tag) pairs.

    Args:
        vocabulary: (raw_tag, tag); tags that it does not list are dropped.
    """
    raw = vocabulary.column("raw_tag").combine_chunks()
    index = pc.index_in(annotations.column("raw_tag"), value_set=raw)
    tags = vocabulary.column("tag").combine_chunks().take(index.combine_chunks())
    pairs = pa.table({"track_id": annotations.column("track_id"), "tag": tags}).filter(pc.is_valid(tags))
    return pairs.group_by(["track_id", "tag"]).aggregate([])


def keep_frequent(pairs: pa.Table, min_tracks: int, top: int | None) -> tuple[pa.Table, dict[str, int]]:
    """Step 6: keep tags on at least `min_tracks` tracks, and of those the `top` most frequent.

    Returns:
        the pairs that stay, and the number of tracks of every tag before the step.
    """
    counts = pairs.group_by("tag").aggregate([("track_id", "count")])
    totals = dict(zip(counts.column("tag").to_pylist(), counts.column("track_id_count").to_pylist(), strict=True))
    enough = sorted((tag for tag, n in totals.items() if n >= min_tracks), key=lambda tag: (-totals[tag], tag))
    kept = pa.array(enough[:top], pa.string())
    return pairs.filter(pc.is_in(pairs.column("tag"), value_set=kept)), totals


def tags_by_track(pairs: pa.Table, track_ids: pa.Array) -> pa.ListArray:
    """For each track of `track_ids` its tags in order; an empty list for a track without.

    Returns:
        a list<string> array, aligned with `track_ids`.
    """
    ordered = pairs.sort_by([("track_id", "ascending"), ("tag", "ascending")])
    position = pc.index_in(ordered.column("track_id"), value_set=track_ids).combine_chunks()
    known = pc.is_valid(position)
    positions = position.filter(known).to_numpy()
    order = np.argsort(positions, kind="stable")
    tags = ordered.column("tag").combine_chunks().filter(known).take(pa.array(order))
    lengths = np.bincount(positions, minlength=len(track_ids))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), tags)
