"""The source stage: whatever the source says, as the tables tracks and annotations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.base import Source, SourceTables
from pipelines.sources.known_bad import KnownBad
from pipelines.sources.union import UNION_VERSION, unite_artists
from pipelines.stage import BuildContext, Stage, StageResult, human_bytes, written
from schemas.coded import coded
from schemas.errors import DataError
from schemas.receipt import FunnelStep
from schemas.store import Store
from schemas.tables import (
    ANNOTATIONS,
    CAPTIONS,
    INTERACTIONS,
    LISTENED,
    PUBLISHED,
    PUBLISHED_PAIRS,
    TARGETS,
    TAXONOMY,
    TRACKS,
)


class SourceStage(Stage):
    """Reads one source."""

    name = "source"

    def __init__(self, source: Source) -> None:
        self._source = source
        self.version = source.VERSION

    def settings(self, context: BuildContext) -> Any:
        content = self._source.settings.model_dump(mode="json")
        kept = {key: value for key, value in content.items() if key not in self._source.LOCATION_KEYS}
        settings = {"source": kept, "inputs": self._source.inputs_digest(), "artists": UNION_VERSION}
        known_bad = _known_bad(context)
        return settings if known_bad is None else {**settings, "exclude": known_bad.digest()}

    def preflight(self, context: BuildContext) -> None:
        known_bad = _known_bad(context)
        if known_bad is not None:
            known_bad.read()

    def run(self, context: BuildContext) -> StageResult:
        out = context.out
        tables = self._source.read()
        known_bad = _known_bad(context)
        if known_bad is not None:
            tables = known_bad.without(tables)
        if tables.tracks.num_rows == 0:
            raise DataError(f"{context.where}: the source gave no track; {_why(tables.exclusions)}")
        # The two large tables at once: one is packed while the other's names are compared.
        with ThreadPoolExecutor(1) as pool:
            annotations = pool.submit(ANNOTATIONS.write, out, tables.annotations)
            tracks, united = unite_artists(TRACKS.conform(tables.tracks), tables.artist_keys)
            made = {TRACKS.filename: TRACKS.write(out, tracks)}
            made.update(_write_others(out, tables))
            funnel = _funnel(tables, tracks)
            made[ANNOTATIONS.filename] = annotations.result()
        return StageResult(written(out, made), funnel, [*tables.notes, *united], tables.exclusions)

    def expected_tracks(self) -> int | None:
        """As the source says."""
        return self._source.expected_tracks()

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        return "tracks and annotations" + (
            "" if tracks is None else f" of {tracks} tracks, about {human_bytes(200 * tracks)}"
        )


def _write_others(out: Store, tables: SourceTables) -> dict[str, int]:
    """Write what not every source has, and take away what an earlier one has left; return the rows by file."""
    made = {}
    for schema, table in (
        (PUBLISHED, tables.published),
        (PUBLISHED_PAIRS, tables.pairs),
        (LISTENED, tables.listened),
        (CAPTIONS, tables.captions),
        (TAXONOMY, tables.taxonomy),
        (TARGETS, tables.targets),
        (INTERACTIONS, tables.interactions),
    ):
        if table is None:
            out.remove(schema.filename)
        else:
            made[schema.filename] = schema.write(out, table)
    return made


def _funnel(tables: SourceTables, tracks: pa.Table) -> list[FunnelStep]:
    """What the source has, and what of it was read.

    Args:
        tracks: those of `tables`, their artists united.
    """
    gone = tables.exclusions.column("id").combine_chunks().unique()
    back = pc.is_in(tracks.column("track_id"), value_set=gone)  # ids of tracks are distinct
    left = len(gone) - int(pc.sum(back).as_py() or 0)
    return [
        FunnelStep(step="in the source", tracks=tables.tracks.num_rows + left),
        FunnelStep(
            step="read",
            tracks=tables.tracks.num_rows,
            artists=coded(tracks.column("artist_id")).occurring(),
            annotations=tables.annotations.num_rows,
            tags=coded(tables.annotations.column("raw_tag")).occurring(),
        ),
    ]


def _known_bad(context: BuildContext) -> KnownBad | None:
    named = context.manifest.exclude
    return None if named is None else KnownBad(named, context.base)


def _why(exclusions: pa.Table, listed: int = 3) -> str:
    """What the first of the entries that did not come in lacked."""
    if not exclusions.num_rows:
        return "look at source.path"
    first = exclusions.slice(0, listed).to_pylist()
    more = exclusions.num_rows - len(first)
    told = "; ".join(f"{row['id']}: {row['detail'] or row['reason']}" for row in first)
    return told + (f"; and {more:,} more like these" if more else "")
