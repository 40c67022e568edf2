"""What was found in a folder's files before, so that a file is looked at once until it changes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.sources.probe import PROBE_VERSION
from pipelines.sources.probes import FILES, PROBES, known_for_good, slices
from schemas.cache_folder import cache_folder
from schemas.coded import places
from schemas.digests import digest_of
from schemas.errors import DataError
from schemas.store import Store

_ROWS = pa.schema([*FILES, *(field for field in PROBES if field.name != "path")])


class ProbeMemory:
    """The memory of one folder, by path, size and time, outside every dataset. Losing it costs a second look."""

    def __init__(self, folder: Store) -> None:
        root = str(Path(folder.root).resolve()) if folder.is_local else folder.root
        self._store = Store(f"{cache_folder()}/probes")
        self._file = f"{digest_of([PROBE_VERSION, root])[:32]}.parquet"
        self._usable = folder.is_shared

    def recall(self, files: pa.Table) -> tuple[pa.Table, pa.Table]:
        """What is known of files that have not changed.

        Args:
            files: as `FILES`, each path once.

        Returns:
            the rows of `PROBES` that are known, and the files of which none is; both in the order of `files`.
        """
        known = self._remembered()
        if known is None:
            return PROBES.empty_table(), files
        probes = known.select(PROBES.names)
        if known.select(FILES.names).equals(files):  # as a rule, and nothing is to be looked up
            return probes, FILES.empty_table()
        rows = places(files.column("path"), known.column("path"))
        then = known.select(["bytes", "stamp"]).take(rows)
        unchanged = pc.and_(*(pc.equal(files.column(name), then.column(name)) for name in then.column_names))
        unchanged = pc.fill_null(unchanged, False)
        return probes.take(rows.filter(unchanged)), files.filter(pc.invert(unchanged))

    def keep(self, files: pa.Table, probes: pa.Table) -> None:
        """Remember what was found, row by row, but of files that could not be read or that took too long."""
        if not self._usable:
            return
        columns = {**dict(zip(probes.column_names, probes.columns, strict=True)), "path": files.column("path")}
        rows = pa.table({**columns, "bytes": files.column("bytes"), "stamp": files.column("stamp")})
        try:
            with (
                self._store.writing(self._file) as stream,
                pq.ParquetWriter(stream, _ROWS, compression="zstd") as writer,
            ):
                for part in slices(rows.select(_ROWS.names)):  # what is left out of all of them would copy them all
                    writer.write_table(part.filter(known_for_good(part)))
        except (OSError, DataError):  # a home that is read-only, or full: the next build looks again
            return

    def _remembered(self) -> pa.Table | None:
        if not self._usable:
            return None
        try:
            with self._store.open(self._file) as stream:
                table = pq.ParquetFile(stream).read()  # read_table would load the dataset machinery, and pandas
        except (OSError, pa.ArrowException):
            return None
        return table if table.schema.equals(_ROWS) else None
