"""The annotations cut into units of whole tracks, so that steps which look at one track need one unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.sources.artists import artist_key
from pipelines.tags.rules import load_taxonomy
from pipelines.tags.steps import drop_artist_names, drop_low_scores, drop_overtagged, keep_listened
from pipelines.videos.kept import only_kept
from schemas.coded import coded, in_one_dictionary
from schemas.manifest import TagsSection
from schemas.store import Store
from schemas.tables import ANNOTATIONS, LISTENED, TAXONOMY, TRACKS

GROUPS_PER_UNIT = 16
_TEXT = ["track_id", "source", "raw_tag"]


def unit_count(out: Store) -> int:
    """How many units the annotations have: a number of the data, not of the workers."""
    with out.open(ANNOTATIONS.filename) as stream:
        groups = int(pq.read_metadata(stream).num_row_groups)
    return max(1, -(-groups // GROUPS_PER_UNIT))


def read_unit(out: Store, number: int) -> pa.Table:
    """The annotations of one unit, their text dictionary-encoded. The table is in the order of track ids; a track
    belongs to the unit that its first row lies in, and that unit reads on until the track ends."""
    with out.open(ANNOTATIONS.filename) as stream:
        file = pq.ParquetFile(stream, read_dictionary=_TEXT)
        groups = file.metadata.num_row_groups
        first, last = number * GROUPS_PER_UNIT, min(groups, (number + 1) * GROUPS_PER_UNIT)
        if first >= last:
            return ANNOTATIONS.empty()
        table = file.read_row_groups(list(range(first, last)))
        if first > 0:
            before = file.read_row_group(first - 1, columns=["track_id"]).column(0)[-1].as_py()
            table = table.filter(pa.array(~_rows_of(table, before)))
        while last < groups and table.num_rows:
            end = table.column("track_id")[-1].as_py()
            more = file.read_row_group(last)
            of_end = _rows_of(more, end)
            table = pa.concat_tables([table, more.filter(pa.array(of_end))])
            if not of_end[-1]:
                break
            last += 1
    joined = [in_one_dictionary(column) for column in table.columns]
    return pa.table(joined, names=table.column_names).combine_chunks()


def _rows_of(table: pa.Table, track_id: str) -> npt.NDArray[np.bool_]:
    """(rows,) which rows are of a track."""
    tracks = coded(table.column("track_id"))
    place = int(pc.index(tracks.values, track_id).as_py())
    return np.equal(tracks.codes, place if place >= 0 else -2)


@dataclass(frozen=True)
class CleanedUnit:
    """What steps 1 to 3 leave of one unit.

    Attributes:
        annotations: those that stay.
        over: the overtagged tracks (track_id, tags).
        counts: for each step, the source's own state first, its name with the tracks and annotations left after it.
        reached: (raw_tag, steps) how many of `counts` each tag as typed is in: tags of several units cannot be
            added up, but the farthest that a tag came in any of them is the farthest that it came. Without `videos`
            tags in the first step alone are left out: the source knows how many it has.
    """

    annotations: pa.Table
    over: pa.Table
    counts: list[tuple[str, int, int]]
    reached: pa.Table


def cleaned_unit(out: Store, number: int, settings: TagsSection, *, videos: bool = False) -> CleanedUnit:
    """Steps 1 to 3 on one unit.

    Args:
        videos: whether only what is said of the videos that stay counts.
    """
    annotations = read_unit(out, number)
    if videos:
        annotations = only_kept(annotations, out)
    counter = _StepCounter(annotations)
    if out.exists(LISTENED.filename):
        annotations = keep_listened(annotations, LISTENED.read(out).column("track_id").combine_chunks())
        counter.add("in the listening data", annotations)
    annotations = drop_low_scores(annotations, settings.min_score)
    score = "score above 0" if settings.min_score == 0 else f"score from {settings.min_score:g}"
    counter.add(score, annotations)
    annotations, over = drop_overtagged(annotations, settings.max_tags_per_track)
    if settings.max_tags_per_track is not None:
        counter.add(f"at most {settings.max_tags_per_track} tags a track", annotations)
    if settings.drop_artist_names:
        annotations = _without_artist_names(annotations, out, settings.rules)
        counter.add("not the artist's own name", annotations)
    return CleanedUnit(annotations, over, counter.counts, counter.reached(first=videos))


class _StepCounter:
    """Counts what is left after each step. No step changes the unit's dictionaries."""

    def __init__(self, unit: pa.Table) -> None:
        self.counts: list[tuple[str, int, int]] = []
        self._values = coded(unit.column("raw_tag")).values
        self._steps = np.zeros(len(self._values), np.int64)
        self.add("annotated", unit)

    def add(self, step: str, annotations: pa.Table) -> None:
        """Count after a step."""
        self.counts.append((step, coded(annotations.column("track_id")).occurring(), annotations.num_rows))
        tags = coded(annotations.column("raw_tag"))
        self._steps[tags.codes] = len(self.counts)

    def reached(self, *, first: bool) -> pa.Table:
        """See `CleanedUnit`; `first` is whether tags in the first step alone are told, too."""
        beyond = pa.array(self._steps > (0 if first else 1))
        return pa.table({"raw_tag": self._values, "steps": pa.array(self._steps)}).filter(beyond)


def _without_artist_names(annotations: pa.Table, out: Store, rules: str) -> pa.Table:
    if annotations.num_rows == 0:
        return annotations
    low, high = annotations.column("track_id")[0].as_py(), annotations.column("track_id")[-1].as_py()
    with out.open(TRACKS.filename) as stream:
        inside = [("track_id", ">=", low), ("track_id", "<=", high), ("artist_name", "!=", "")]
        tracks = pq.read_table(stream, columns=["track_id", "artist_name"], filters=inside)
    names = dict(zip(tracks.column(0).to_pylist(), tracks.column(1).to_pylist(), strict=True))
    return drop_artist_names(annotations, names, _taxonomy_keys(rules) | _stated_keys(out) if names else ())


def _stated_keys(out: Store) -> frozenset[str]:
    """What artists may be called like a tag of the source's own taxonomy."""
    if not out.exists(TAXONOMY.filename):
        return frozenset()
    return frozenset(artist_key(tag) for tag in TAXONOMY.read(out, ["raw_tag"]).column("raw_tag").to_pylist())


@lru_cache(maxsize=4)
def _taxonomy_keys(rules: str) -> frozenset[str]:
    """What artists may be called like a tag of the taxonomy."""
    return frozenset(artist_key(tag) for tags in load_taxonomy(rules).categories.values() for tag in tags)
