"""Every table of a dataset directory, one module each."""

from __future__ import annotations

from schemas.table import TableSchema
from schemas.tables.annotations import ANNOTATIONS
from schemas.tables.captions import CAPTIONS
from schemas.tables.dropped_captions import DROPPED_CAPTIONS
from schemas.tables.dropped_tags import DROPPED_TAGS
from schemas.tables.exclusions import EXCLUSIONS
from schemas.tables.found_elsewhere import FOUND_ELSEWHERE
from schemas.tables.interactions import INTERACTIONS
from schemas.tables.labels import LABELS
from schemas.tables.leaks import LEAKS
from schemas.tables.listened import LISTENED
from schemas.tables.pair_ids import PAIR_IDS
from schemas.tables.pairs import PAIRS
from schemas.tables.published import PUBLISHED
from schemas.tables.published_pairs import PUBLISHED_PAIRS
from schemas.tables.recordings import RECORDINGS
from schemas.tables.splits import SPLITS
from schemas.tables.storyboards import STORYBOARDS
from schemas.tables.tags import TAGS
from schemas.tables.targets import TARGETS
from schemas.tables.taxonomy import TAXONOMY
from schemas.tables.tracks import TRACKS
from schemas.tables.videos import VIDEOS

TABLES: dict[str, TableSchema] = {
    table.name: table
    for table in (
        TRACKS,
        VIDEOS,
        STORYBOARDS,
        ANNOTATIONS,
        TAXONOMY,
        CAPTIONS,
        TAGS,
        DROPPED_TAGS,
        DROPPED_CAPTIONS,
        LABELS,
        SPLITS,
        PAIRS,
        PUBLISHED,
        PUBLISHED_PAIRS,
        LISTENED,
        INTERACTIONS,
        TARGETS,
        EXCLUSIONS,
        LEAKS,
        FOUND_ELSEWHERE,
        RECORDINGS,
    )
}

__all__ = [
    "ANNOTATIONS",
    "CAPTIONS",
    "DROPPED_CAPTIONS",
    "DROPPED_TAGS",
    "EXCLUSIONS",
    "FOUND_ELSEWHERE",
    "INTERACTIONS",
    "LABELS",
    "LEAKS",
    "LISTENED",
    "PAIRS",
    "PAIR_IDS",
    "PUBLISHED",
    "PUBLISHED_PAIRS",
    "RECORDINGS",
    "SPLITS",
    "STORYBOARDS",
    "TABLES",
    "TAGS",
    "TARGETS",
    "TAXONOMY",
    "TRACKS",
    "VIDEOS",
]
