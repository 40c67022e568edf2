"""Rows gathered column by column and turned into Arrow a part at a time, so that millions of them fit in memory."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.reasons import Reason
from schemas.table import TableSchema
from schemas.tables import TABLES

_ROWS_AT_ONCE = 50_000


class RowBuffer:
    """Tables in the making, by name. Every row of a table has the same columns."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, list[Any]]] = {}
        self._parts: dict[str, list[pa.Table]] = {}

    def add(self, schema: TableSchema, **row: Any) -> None:
        """Add a row; columns that may be null may be left out, in all rows alike."""
        columns = self._columns.setdefault(schema.name, {name: [] for name in row})
        for name, value in row.items():
            columns[name].append(value)
        if len(columns[next(iter(row))]) >= _ROWS_AT_ONCE:
            self._flush(schema.name)

    def exclude(self, row_id: str, reason: Reason, detail: str) -> None:
        """Add a row of `exclusions`."""
        self.add(TABLES["exclusions"], id=row_id, stage="source", reason=str(reason), detail=detail)

    def table(self, schema: TableSchema) -> pa.Table:
        """The table, in its schema and order; its rows are let go."""
        self._flush(schema.name)
        parts = self._parts.pop(schema.name, [])
        return schema.conform(pa.concat_tables(parts)) if parts else schema.empty()

    def _flush(self, name: str) -> None:
        columns = self._columns.pop(name, {})
        if columns:
            fields = [field for field in TABLES[name].schema if field.name in columns]
            arrays = [pa.array(columns[field.name], field.type) for field in fields]
            self._parts.setdefault(name, []).append(pa.table(arrays, schema=pa.schema(fields)))
