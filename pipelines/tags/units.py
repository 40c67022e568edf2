"""The annotations cut into units of whole tracks, so that steps which look at one track need one unit."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.sources.artists import artist_key
from pipelines.tags.rules import load_rules
from pipelines.tags.steps import drop_artist_names, drop_low_scores, drop_overtagged, keep_listened
from schemas.manifest import TagsSection
from schemas.store import Store
from schemas.tables import ANNOTATIONS, LISTENED, TRACKS

GROUPS_PER_UNIT = 16


def unit_count(out: Store) -> int:
    """How many units the annotations have: a number of the data, not of the workers."""
    with out.open(ANNOTATIONS.filename) as stream:
        groups = int(pq.read_metadata(stream).num_row_groups)
    return max(1, -(-groups // GROUPS_PER_UNIT))


def read_unit(out: Store, number: int) -> pa.Table:
    """The annotations of one unit. The table is in the order of track ids; a track belongs to the unit that
    its first row lies in, and that unit reads on until the track ends."""
    with out.open(ANNOTATIONS.filename) as stream:
        file = pq.ParquetFile(stream)
        groups = file.metadata.num_row_groups
        first, last = number * GROUPS_PER_UNIT, min(groups, (number + 1) * GROUPS_PER_UNIT)
        if first >= last:
            return ANNOTATIONS.empty()
        table = file.read_row_groups(list(range(first, last)))
        if first > 0:
            before = file.read_row_group(first - 1, columns=["track_id"]).column(0)[-1]
            table = table.filter(pc.not_equal(table.column("track_id"), before))
        while last < groups and table.num_rows:
            end = table.column("track_id")[-1]
            more = file.read_row_group(last)
            table = pa.concat_tables([table, more.filter(pc.equal(more.column("track_id"), end))])
            if more.column("track_id")[-1] != end:
                break
            last += 1
    return table.replace_schema_metadata(None)


StepCount = tuple[str, int, int]


def cleaned_unit(out: Store, number: int, settings: TagsSection) -> tuple[pa.Table, pa.Table, list[StepCount]]:
    """Steps 1 to 3 on one unit.

    Returns:
        the annotations that stay, the overtagged tracks (track_id, tags), and for each step its name with the
        tracks and annotations left after it.
    """
    annotations = read_unit(out, number)
    counts = [_count("annotated", annotations)]
    if out.exists(LISTENED.filename):
        annotations = keep_listened(annotations, LISTENED.read(out).column("track_id").combine_chunks())
        counts.append(_count("in the listening data", annotations))
    annotations = drop_low_scores(annotations, settings.min_score)
    counts.append(
        _count("score above 0" if settings.min_score == 0 else f"score from {settings.min_score:g}", annotations)
    )
    annotations, over = drop_overtagged(annotations, settings.max_tags_per_track)
    if settings.max_tags_per_track is not None:
        counts.append(_count(f"at most {settings.max_tags_per_track} tags a track", annotations))
    if settings.drop_artist_names and annotations.num_rows:
        low, high = annotations.column("track_id")[0].as_py(), annotations.column("track_id")[-1].as_py()
        with out.open(TRACKS.filename) as stream:
            inside = [("track_id", ">=", low), ("track_id", "<=", high), ("artist_name", "!=", "")]
            tracks = pq.read_table(stream, columns=["track_id", "artist_name"], filters=inside)
        names = dict(zip(tracks.column(0).to_pylist(), tracks.column(1).to_pylist(), strict=True))
        taxonomy = load_rules(settings.rules).categories.values() if names else ()
        known = {artist_key(tag) for tags in taxonomy for tag in tags}
        annotations = drop_artist_names(annotations, names, known)
        counts.append(_count("not the artist's own name", annotations))
    return annotations, over, counts


def _count(step: str, annotations: pa.Table) -> tuple[str, int, int]:
    tracks = pc.count_distinct(annotations.column("track_id")).as_py()
    return step, int(tracks), annotations.num_rows
