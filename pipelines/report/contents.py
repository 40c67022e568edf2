"""What a dataset directory holds, read once for the page and the card: only what the receipt lists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.recordings.known import with_recordings
from pipelines.stage import stages_in_order
from schemas.manifest import CardSource
from schemas.receipt import FileEntry, Receipt, StageEntry, require_receipt
from schemas.shards import FeatureSpec, read_shard_index
from schemas.store import Store
from schemas.table import TableSchema
from schemas.tables import DROPPED_TAGS, EXCLUSIONS, LABELS, SPLITS, TABLES, TAGS, TRACKS

_TRACK_COLUMNS = ["track_id", "artist_id", "artist_name", "title", "duration_s", "recording_id"]


@dataclass(frozen=True)
class FeatureInfo:
    """One feature: what its tensors are, where its shards lie, and how many clips and bytes they hold."""

    spec: FeatureSpec
    paths: tuple[str, ...]
    clips: int
    bytes: int


@dataclass(frozen=True)
class TableInfo:
    """One table that the receipt lists, with the schema that says what its columns are."""

    table: TableSchema
    file: FileEntry

    def columns(self) -> list[dict[str, Any]]:
        """Name, type, whether null may stand there, and description of every column."""
        return [
            {
                "name": field.name,
                "type": f"list<{field.type.value_type}>" if pa.types.is_list(field.type) else str(field.type),
                "nullable": field.nullable,
                "description": (field.metadata or {}).get(b"description", b"").decode(),
            }
            for field in self.table.schema
        ]


@dataclass(frozen=True)
class Contents:
    """A dataset as its reports need it. A table that the dataset does not have is one of no rows.

    Attributes:
        tracks: track_id, artist_id, artist_name, title, duration_s, recording_id.
        tags: rows of `tags`, most tracks first.
        dropped: `dropped_tags`, most tracks first.
        excluded: `exclusions`.
        splits: `splits`, the `default` scheme.
    """

    receipt: Receipt
    tracks: pa.Table
    labels: pa.Table
    tags: list[dict[str, Any]]
    dropped: pa.Table
    excluded: pa.Table
    splits: pa.Table
    features: list[FeatureInfo]
    tables: list[TableInfo]

    def stages(self) -> list[tuple[str, StageEntry]]:
        """The stages in the order in which data goes through them, those that only keep books left out."""
        return stages_in_order(self.receipt)

    def card(self) -> dict[str, str]:
        """Title, description, licence, citation and address of the recipe; a title there always is."""
        given = self._card()
        card = {
            key: str(given.get(key) or "").strip() for key in ("title", "description", "licence", "citation", "url")
        }
        return {**card, "title": card["title"] or self.receipt.name}

    def sources(self) -> list[CardSource]:
        """The works that the dataset is made from, as the recipe names them."""
        given = self._card().get("sources")
        return [CardSource.model_validate(entry) for entry in given] if isinstance(given, list) else []

    def _card(self) -> dict[str, Any]:
        given = self.receipt.recipe.get("card")
        return given if isinstance(given, dict) else {}

    def ratios(self) -> dict[str, float]:
        """What the recipe asks of the default split."""
        ratios = (self.receipt.recipe.get("splits") or {}).get("ratios") or {}
        return {str(name): float(ratio) for name, ratio in ratios.items()}

    def artists(self) -> int:
        """How many there are."""
        return self._distinct["artist_id"]

    def recordings(self) -> int:
        """How many there are; fewer than tracks where one recording stands under two ids."""
        return self._distinct["recording_id"]

    @cached_property
    def _distinct(self) -> dict[str, int]:
        """Counted once for the page and the card."""
        names = ("artist_id", "recording_id")
        return {name: len(pc.unique(self.tracks.column(name))) for name in names}

    def tagged(self) -> int:
        """Tracks with at least one tag."""
        return int(pc.sum(pc.greater(pc.list_value_length(self.labels.column("tags")), 0)).as_py() or 0)

    def captioned(self) -> tuple[int, int]:
        """Tracks with a caption, and distinct captions."""
        captions = self.labels.column("caption").drop_null()
        return len(captions), len(pc.unique(captions))

    def seconds(self) -> float:
        """Sum of the known durations."""
        return float(pc.sum(self.tracks.column("duration_s")).as_py() or 0.0)


def read_contents(out: Store) -> Contents:
    """Read what the reports need.

    Raises:
        UsageError: there is no dataset.
        DataError: a file that the receipt lists is missing or damaged.
    """
    receipt = require_receipt(out)
    files = receipt.files()

    def rows(table: TableSchema, columns: list[str] | None = None) -> pa.Table:
        if table.filename in files:
            return table.read(out, columns)
        return table.empty().select(columns or table.schema.names)

    splits = rows(SPLITS)
    splits = splits.filter(
        pc.and_(pc.equal(splits.column("scheme"), "default"), pc.equal(splits.column("fold"), 0))
    )
    return Contents(
        receipt,
        with_recordings(rows(TRACKS, _TRACK_COLUMNS), out, receipt),
        rows(LABELS),
        sorted(rows(TAGS).to_pylist(), key=lambda row: (-row["n_tracks"], row["tag"])),
        rows(DROPPED_TAGS).sort_by([("n_tracks", "descending"), ("raw_tag", "ascending")]),
        rows(EXCLUSIONS),
        splits,
        _features(out, receipt),
        [TableInfo(table, files[table.filename]) for table in TABLES.values() if table.filename in files],
    )


def _features(out: Store, receipt: Receipt) -> list[FeatureInfo]:
    found = []
    for name, entry in sorted(receipt.stages.items()):
        paths = tuple(sorted(path for path in entry.files if path.startswith("features/")))
        if name.startswith("features.") and paths:
            clips = sum(file.rows for file in entry.files.values())
            size = sum(file.bytes for file in entry.files.values())
            found.append(FeatureInfo(read_shard_index(out, paths[0]).spec, paths, clips, size))
    return found
