"""What a source reads, gathered column by column: many rows cost no dict each, and become tables at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipelines.sources.base import SourceTables
from schemas.errors import DataError
from schemas.reasons import Reason
from schemas.table import TableSchema
from schemas.tables import ANNOTATIONS, EXCLUSIONS, PUBLISHED, TARGETS, TAXONOMY, TRACKS

PUBLISHED_SCHEME = "published"


class Gathered:
    """The rows of one source. Tracks come first: what is said of a track that is not there is refused."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, list[Any]]] = {
            table.name: {name: [] for name in table.schema.names}
            for table in (TRACKS, ANNOTATIONS, EXCLUSIONS, PUBLISHED, TARGETS, TAXONOMY)
        }
        self._tracks: dict[str, None] = {}
        self._assigned: dict[tuple[str, str], str] = {}

    def __contains__(self, track_id: str) -> bool:
        return track_id in self._tracks

    def __len__(self) -> int:
        return len(self._tracks)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tracks)

    def track(self, track_id: str, where: str, **values: Any) -> bool:
        """Add a track, a recording of its own unless `recording_id` says otherwise.

        Args:
            where: the file and line, for the exclusion of an id that stands twice.
            values: columns of `tracks`; those not given are null, and an empty text is null.

        Returns:
            whether it was added.
        """
        if track_id in self._tracks:
            self.exclude(track_id, Reason.DUPLICATE_ID, where)
            return False
        self._tracks[track_id] = None
        columns = self._columns[TRACKS.name]
        row = {"recording_id": track_id, **values, "track_id": track_id}
        for name, column in columns.items():
            value = row.get(name)
            column.append(None if value == "" else value)
        return True

    def tags(self, track_id: str, source: str, tags: Iterable[str], score: float | None = None) -> None:
        """Add what the source says of a track."""
        for tag in tags:
            self._add(ANNOTATIONS, track_id, source, tag, score)

    def targets(self, track_id: str, values: Mapping[str, float]) -> None:
        """Add numbers to predict, by name."""
        for name, value in values.items():
            self._add(TARGETS, track_id, name, value)

    def split(self, track_id: str, split: str, where: str, scheme: str = PUBLISHED_SCHEME) -> None:
        """Give a track its place in a published split.

        Raises:
            DataError: it has another place in the same one; no model can be measured on such a split.
        """
        before = self._assigned.setdefault((scheme, track_id), split)
        if before != split:
            raise DataError(f"{where}: {track_id!r} is in {split}, and in {before} too; take it out of one")
        self._columns[PUBLISHED.name]["track_id"].append(track_id)
        self._columns[PUBLISHED.name]["scheme"].append(scheme)
        self._columns[PUBLISHED.name]["split"].append(split)

    def class_of(self, raw_tag: str, category: str | None, parent: str | None = None) -> None:
        """Say of a tag what the source itself says."""
        self._add(TAXONOMY, raw_tag, category, parent)

    def exclude(self, track_id: str, reason: Reason, detail: str) -> None:
        """Tell of a track that does not come in."""
        self._add(EXCLUSIONS, track_id, "source", str(reason), detail)

    def tables(self, notes: Iterable[str] = ()) -> SourceTables:
        """Everything as tables.

        Raises:
            DataError: a value that no column can hold.
        """
        return SourceTables(
            self._table(TRACKS),
            self._table(ANNOTATIONS),
            self._table(EXCLUSIONS),
            published=self._table(PUBLISHED) if self._assigned else None,
            targets=self._table(TARGETS) if self._columns[TARGETS.name]["track_id"] else None,
            taxonomy=self._table(TAXONOMY) if self._columns[TAXONOMY.name]["raw_tag"] else None,
            notes=tuple(notes),
        )

    def _add(self, table: TableSchema, *values: Any) -> None:
        for column, value in zip(self._columns[table.name].values(), values, strict=True):
            column.append(value)

    def _table(self, table: TableSchema) -> pa.Table:
        arrays = {}
        for field in table.schema:
            try:
                arrays[field.name] = pa.array(self._columns[table.name][field.name], field.type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
                raise DataError(f"{table.name}.{field.name}: a value does not fit its column: {error}") from error
        return table.conform(pa.table(arrays))
