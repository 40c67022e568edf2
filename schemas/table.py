"""What a table is: a named, versioned pyarrow schema with a sort order, and how its file is written and read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.coded import in_one_dictionary, plain
from schemas.digests import canonical_json
from schemas.errors import DataError, fault_of_file, suggest
from schemas.order import row_order
from schemas.store import Store

META_KEY = b"tracklore"
ROWS_PER_GROUP = 65_536


def column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    """Return a field that carries its own description (units included) into every file."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


@dataclass(frozen=True)
class TableSchema:
    """One table of a dataset directory.

    Attributes:
        name: the table's name; its file is `NAME.parquet`.
        version: an integer, raised when the meaning or the columns change.
        schema: pyarrow fields in order, each with a description and whether it may be null.
        sort_by: the columns that order the rows; a table's bytes do not depend on how its rows arrived.
        unique: the columns that together name a row, or none.
    """

    name: str
    version: int
    schema: pa.Schema
    sort_by: tuple[str, ...]
    unique: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        """The file below the dataset directory."""
        return f"{self.name}.parquet"

    def empty(self) -> pa.Table:
        """A table of no rows."""
        return self.schema.empty_table()

    def from_rows(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Build and order a table from dicts; columns that a row lacks are null.

        Raises:
            DataError: a key that is no column, a value of the wrong type, a null where none may be.
        """
        listed = list(rows)
        known = set(self.schema.names)
        for row in listed:
            for key in row:
                if key not in known:
                    raise DataError(f"{self.name}: no column {key!r}{suggest(key, known)}")
        try:
            table = pa.Table.from_pylist(listed, schema=self.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
            raise DataError(f"{self.name}: a value does not fit its column: {error}") from error
        return self.conform(table)

    def conform(self, table: pa.Table) -> pa.Table:
        """Return `table` with exactly this schema, in this order of rows.

        Text may come dictionary-encoded, which is much the fastest for columns of few values; it leaves plain.

        Raises:
            DataError: a column missing or of another type, a null or a repeated key where none may be.
        """
        checked = self._checked(table)
        order = self._order(checked)
        ordered = checked if order is None else checked.take(pa.array(order))
        return self._as_declared(ordered)

    def _checked(self, table: pa.Table) -> pa.Table:
        """The columns of the schema, each of its type or of a dictionary of its type."""
        columns = []
        for field in self.schema:
            if field.name not in table.column_names:
                if not field.nullable:
                    raise DataError(f"{self.name}: column {field.name!r} is missing")
                columns.append(pa.nulls(table.num_rows, field.type))
                continue
            values = in_one_dictionary(table.column(field.name))
            kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
            try:
                values = values if kind.equals(field.type) else values.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise DataError(f"{self.name}.{field.name}: {_one_line(error)}") from error
            if not field.nullable and values.null_count:
                raise DataError(f"{self.name}.{field.name}: {values.null_count} rows without a value")
            columns.append(values)
        return pa.table(columns, names=self.schema.names)

    def _order(self, table: pa.Table) -> npt.NDArray[np.int64] | None:
        """The order of the rows; None when they are in it."""
        found = row_order(table, self.sort_by)
        if self.unique:
            named = found if set(self.unique) == set(self.sort_by) else row_order(table, self.unique)
            if named.repeated is not None:
                first = {key: table.column(key)[named.repeated].as_py() for key in self.unique}
                raise DataError(f"{self.name}: {named.repeats} keys occur more than once, first {first}")
        return found.rows

    def _as_declared(self, table: pa.Table) -> pa.Table:
        return pa.Table.from_arrays([plain(column) for column in table.columns], schema=self.schema)

    def write(self, store: Store, table: pa.Table, meta: Mapping[str, Any] | None = None) -> int:
        """Write `NAME.parquet`; return its rows. Equal rows and `meta` give equal bytes.

        `meta` goes into the file's own metadata, beside the table's name and version.
        """
        checked = self._checked(table)
        order = self._order(checked)
        stamp = canonical_json({"table": self.name, "version": self.version, **(meta or {})})
        with (
            store.writing(self.filename) as stream,
            pq.ParquetWriter(
                stream,
                self.schema.with_metadata({META_KEY: stamp.encode()}),
                compression="zstd",
                store_schema=True,
                version="2.6",
                data_page_version="1.0",
            ) as writer,
        ):
            # A group at a time: the ordered table is never held whole, nor is its text.
            for start in range(0, max(1, checked.num_rows), ROWS_PER_GROUP):
                if order is None:
                    group = checked.slice(start, ROWS_PER_GROUP)
                else:
                    group = checked.take(pa.array(order[start : start + ROWS_PER_GROUP]))
                writer.write_table(self._as_declared(group).combine_chunks(), row_group_size=ROWS_PER_GROUP)
        return int(checked.num_rows)

    def read(self, store: Store, columns: list[str] | None = None) -> pa.Table:
        """Read the table, checked against the schema.

        Raises:
            DataError: the file is missing, no Parquet, of another version, or lacks a column.
        """
        where = f"{store.root}/{self.filename}"
        with _opened(store, self.filename, where) as file:
            self._check_schema(file, where)
            try:
                table = file.read(columns=columns)
            except (pa.ArrowInvalid, OSError) as error:
                raise DataError(f"{where}: damaged ({fault_of_file(error)}); build it again") from error
        return table.replace_schema_metadata(None)

    def batches(self, store: Store, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Stream the table in its own order, without holding it."""
        where = f"{store.root}/{self.filename}"
        with _opened(store, self.filename, where) as file:
            self._check_schema(file, where)
            yield from file.iter_batches(columns=columns)

    def meta(self, store: Store) -> dict[str, Any]:
        """The metadata that `write` was given, or an empty dict when the file is missing or not ours."""
        try:
            with store.open(self.filename) as stream:
                raw = pq.read_metadata(stream).metadata or {}
            found: dict[str, Any] = json.loads(raw[META_KEY])
        except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
            fault_of_file(error)
            return {}
        return found

    def check(self, store: Store) -> list[str]:
        """What is wrong with the file's schema; an empty list when nothing is."""
        where = f"{store.root}/{self.filename}"
        try:
            with _opened(store, self.filename, where) as file:
                self._check_schema(file, where)
        except DataError as error:
            return [str(error)]
        return []

    def _check_schema(self, file: pq.ParquetFile, where: str) -> None:
        found = file.schema_arrow
        for field in self.schema:
            index = found.get_field_index(field.name)
            if index < 0:
                raise DataError(f"{where}: column {field.name!r} is missing (version {self.version} of the table)")
            if not found.field(index).type.equals(field.type):
                kinds = f"{found.field(index).type}, not {field.type}"
                raise DataError(f"{where}: column {field.name!r} is {kinds}")
        extra = set(found.names) - set(self.schema.names)
        if extra:
            raise DataError(
                f"{where}: columns that version {self.version} does not know: {', '.join(sorted(extra))}"
            )


def _opened(store: Store, filename: str, where: str) -> pq.ParquetFile:
    # A file of this machine is Arrow's own: its threads would ask Python for a file of ours, even as Python ends.
    path = store.local_path(filename)
    try:
        return pq.ParquetFile(store.open(filename) if path is None else str(path))
    except FileNotFoundError as error:
        raise DataError(f"{where}: is missing; run tracklore build to make it") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{where}: is no Parquet file ({fault_of_file(error)})") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
