"""What was found in a folder's files before, so that a file is looked at once until it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.sources.probe import PROBE_VERSION
from pipelines.sources.probes import FILES, PROBES, slices
from schemas.cache_folder import cache_folder
from schemas.digests import digest_of
from schemas.errors import DataError
from schemas.reasons import Reason
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
        if known.column("path").equals(files.column("path")):  # as a rule, and nothing is to be looked up
            same = pc.and_(*(pc.equal(files.column(name), known.column(name)) for name in ("bytes", "stamp")))
            places = pa.array(np.arange(files.num_rows))
            if pc.all(same).as_py():
                return probes, FILES.empty_table()
        else:
            places = pc.index_in(files.column("path"), value_set=known.column("path"))
            then = known.select(["bytes", "stamp"]).take(places)
            same = pc.and_(*(pc.equal(files.column(name), then.column(name)) for name in then.column_names))
            same = pc.fill_null(same, False)
        return probes.take(places.filter(same)), files.filter(pc.invert(same))

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
                    late = pc.fill_null(pc.equal(part.column("reason"), str(Reason.TIMED_OUT)), False)
                    writer.write_table(part.filter(pc.and_not(pc.not_equal(part.column("sha256"), ""), late)))
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
