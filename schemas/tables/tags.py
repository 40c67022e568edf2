"""The vocabulary: one row a tag that is left after cleaning."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

TAGS = TableSchema(
    name="tags",
    version=1,
    schema=pa.schema(
        [
            column("tag", pa.string(), "the tag, named by the most common member of its group"),
            column(
                "category",
                pa.string(),
                "genre, mood, location, language, instrument, activity, decade (MSD500); genre, style, instrument, "
                "vocal, mood, theme, culture, decade (ECALS); a word of the source's own taxonomy; or other",
            ),
            column("parent", pa.string(), "the tag above it in the source's hierarchy", nullable=True),
            column(
                "members",
                pa.list_(pa.string()),
                "every tag as typed that was joined into it, most common first",
            ),
            column("joined_by", pa.list_(pa.string()), "for each member the rule that joined it to the tag"),
            column("n_tracks", pa.int64(), "tracks that carry it"),
            column("n_artists", pa.int64(), "artists behind those tracks"),
        ]
    ),
    sort_by=("tag",),
    unique=("tag",),
)
