"""Lists of known-bad tracks: what a person found wrong, or what another dataset excluded, taken out at the source.

A list is a CSV (UTF-8, with a header) or Parquet table with a column `track_id`, and `reason` and `detail` where
it gives them. `tracklore exclusions` writes one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipelines.locations import from_base
from pipelines.sources.base import SourceTables
from pipelines.stage import shown
from schemas.digests import digest_of_stream
from schemas.errors import UsageError, fault_of_file, suggest
from schemas.reasons import Reason
from schemas.store import Store
from schemas.tables import EXCLUSIONS

KEY = "exclude"
COLUMNS = ("track_id", "reason", "detail")


@dataclass(frozen=True)
class KnownBad:
    """A list, where the manifest says that it lies.

    Attributes:
        path: as the manifest names it.
        base: the folder that relative paths start from; None for the working directory.
    """

    path: str
    base: str | None

    def digest(self) -> str:
        """Digest of the list's bytes."""
        store, name = self._place()
        with store.open(name) as stream:
            return digest_of_stream(stream)[0]

    def read(self) -> pa.Table:
        """The list: columns track_id, reason and detail (strings), each row once, in the file's order.

        Raises:
            UsageError: it is no such table, or a row of it has no id or a reason that is none.
        """
        store, name = self._place()
        table = _as_strings(read_list(store, name, self._where), self._where)
        first_row = 2 if name.lower().endswith(".csv") else 1
        ids = table.column("track_id").to_pylist()
        if not all(ids):
            row = next(number for number, track in enumerate(ids) if not track)
            raise UsageError(f"{self._where}: row {row + first_row}: has no track_id")
        reasons = [reason or str(Reason.KNOWN_BAD) for reason in table.column("reason").to_pylist()]
        known = {str(reason) for reason in Reason}
        if not known.issuperset(reasons):
            row, reason = next((number, reason) for number, reason in enumerate(reasons) if reason not in known)
            way_out = suggest(reason, known) or "; leave it empty if none fits"
            raise UsageError(f"{self._where}: row {row + first_row}: {reason!r} is no reason{way_out}")
        details = [detail or None for detail in table.column("detail").to_pylist()]
        rows = list(dict.fromkeys(zip(ids, reasons, details, strict=True)))
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        return pa.table(
            {column: pa.array(values, pa.string()) for column, values in zip(COLUMNS, columns, strict=True)}
        )

    def without(self, tables: SourceTables) -> SourceTables:
        """The source's tables without the tracks of the list, which stand among its exclusions instead.

        Raises:
            UsageError: as `read`.
        """
        bad = self.read()
        ids = bad.column("track_id").combine_chunks()
        here = pc.is_in(ids, value_set=tables.tracks.column("track_id").combine_chunks())
        met = bad.filter(here)
        rows = met.num_rows
        excluded = pa.table(
            {
                "id": met.column("track_id"),
                "stage": pa.array(["source"] * rows, pa.string()),
                "reason": met.column("reason"),
                "detail": pc.fill_null(met.column("detail"), "on the list of known-bad tracks"),
            },
            schema=EXCLUSIONS.schema,
        )
        kept = {
            name: _less(table, ids)
            for name, table in vars(tables).items()
            if isinstance(table, pa.Table) and "track_id" in table.column_names
        }
        exclusions = pa.concat_tables([tables.exclusions.select(EXCLUSIONS.schema.names), excluded])
        return replace(tables, **kept, exclusions=exclusions, notes=(*tables.notes, *_notes(ids, here)))

    @property
    def _where(self) -> str:
        return f"{KEY}: {self.path}"

    def _place(self) -> tuple[Store, str]:
        path = from_base(self.path, self.base)
        folder, _, name = path.rpartition("/")
        store = Store(folder or ("/" if path.startswith("/") else "."))
        if not name or store.size(name) is None:
            raise UsageError(f"{self._where}: no such file; give a CSV or Parquet table with a column track_id")
        return store, name


def read_list(store: Store, name: str, where: str) -> pa.Table:
    """Those of a list's columns that there are.

    Raises:
        UsageError: it is neither CSV nor Parquet by name and content, or has no column `track_id`.
    """
    try:
        with store.open(name) as stream:
            if name.lower().endswith(".parquet"):
                table = pq.ParquetFile(stream).read()
            elif name.lower().endswith(".csv"):
                table = pyarrow.csv.read_csv(
                    stream,
                    parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                    convert_options=pyarrow.csv.ConvertOptions(
                        column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=False
                    ),
                )
            else:
                raise UsageError(f"{where}: name the list .csv or .parquet, as what it is")
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{where}: cannot be read as a table ({fault_of_file(error)})") from error
    try:
        names = table.column_names
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: the names of its columns are not UTF-8 ({error.reason})") from error
    if "track_id" not in names:
        raise UsageError(f"{where}: has no column 'track_id'; its columns: {', '.join(names)}")
    return table.select([column for column in COLUMNS if column in names])


def write_list(exclusions: pa.Table, store: Store, name: str) -> int:
    """Write rows of `exclusions` as a list, sorted; return how many."""
    columns = [exclusions.column(column) for column in ("id", "reason", "detail")]
    table = pa.table(columns, names=list(COLUMNS)).sort_by([(column, "ascending") for column in COLUMNS])
    with store.writing(name) as stream:
        if name.lower().endswith(".parquet"):
            pq.write_table(table, stream)
        else:
            pyarrow.csv.write_csv(table, stream)
    return int(table.num_rows)


def _as_strings(table: pa.Table, where: str) -> pa.Table:
    columns = []
    for column in COLUMNS:
        if column not in table.column_names:
            columns.append(pa.nulls(table.num_rows, pa.string()))
            continue
        try:
            columns.append(table.column(column).cast(pa.string()))
        except pa.ArrowException as error:
            raise UsageError(f"{where}: column {column!r} holds {table.column(column).type}, not text") from error
    return pa.table(columns, names=list(COLUMNS))


def _less(table: pa.Table, ids: pa.Array) -> pa.Table:
    found = pc.is_in(table.column("track_id"), value_set=ids)
    return table.filter(pc.invert(found)) if pc.any(found).as_py() else table


def _notes(ids: pa.Array, here: pa.Array) -> list[str]:
    met, missed = (len(pc.unique(ids.filter(part))) for part in (here, pc.invert(here)))
    notes = [f"{met} tracks left that the list of known-bad tracks names"]
    if missed:
        first = sorted(set(ids.filter(pc.invert(here)).to_pylist()))
        notes.append(f"{missed} ids of the list of known-bad tracks match no track: {shown(first)}")
    return notes
