"""What the source itself says of its tags: their class, and the tag above them."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import TableSchema, column

TAXONOMY = TableSchema(
    name="taxonomy",
    version=1,
    schema=pa.schema(
        [
            column("raw_tag", pa.string(), "the tag as the source writes it in `annotations`"),
            column("category", pa.string(), "its class, in our words where we have one", nullable=True),
            column("parent", pa.string(), "the raw tag above it in the source's hierarchy", nullable=True),
        ]
    ),
    sort_by=("raw_tag",),
    unique=("raw_tag",),
)
