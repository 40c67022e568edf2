"""Splits that are kept: what a table of splits says of tracks that are still there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.locations import from_base
from pipelines.splits.labels import Codes, as_array
from schemas.digests import digest_of_stream
from schemas.errors import DataError, UsageError, fault_of_file
from schemas.manifest import RESERVED_SPLITS
from schemas.store import Store
from schemas.tables.splits import DEFAULT_SCHEME

KEY = "splits.keep"
# How the stage's notes tell of what was kept.
KEEP_NOTE = "tracks keep their splits"


def kept_place(path: str, base: str | None, option: str = KEY) -> tuple[Store, str]:
    """Where a kept table lies: its folder and its name.

    Args:
        base: the folder that relative paths start from; None for the working directory.
        option: how errors name it.

    Raises:
        UsageError: there is no such file.
    """
    path = from_base(path, base)
    folder, _, name = path.rpartition("/")
    store = Store(folder or ("/" if path.startswith("/") else "."))
    if not name or store.size(name) is None:
        raise UsageError(f"{option} {path}: no such file; give the splits.parquet of a dataset")
    return store, name


def kept_digest(path: str, base: str | None) -> str:
    """The digest of a kept table's bytes."""
    store, name = kept_place(path, base)
    with store.open(name) as stream:
        return digest_of_stream(stream)[0]


def read_kept(path: str, base: str | None, option: str = KEY, id_name: str = "track_id") -> pa.Table:
    """Read a kept table: columns scheme (string), fold (int32), track_id and split (string).

    A table of track_id and split alone is taken as the scheme `default`; so is the only scheme of a table that has
    no `default`.

    Args:
        base: the folder that relative paths start from; None for the working directory.
        option: how errors name it.
        id_name: the column of ids, where it is not `track_id`.

    Raises:
        UsageError: no such file, or several schemes of which none is `default`.
        DataError: it is no table of splits, or a track stands in it twice.
    """
    store, name = kept_place(path, base, option)
    where = f"{option} {path}"
    try:
        with store.open(name) as stream:
            table = pq.read_table(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{where}: is no Parquet file ({fault_of_file(error)})") from error
    id_name = id_name if id_name in table.column_names else "track_id"
    for column in (id_name, "split"):
        if column not in table.column_names:
            raise DataError(f"{where}: no column {column!r}; a table of splits has {id_name} and split")
    rows = table.num_rows
    ours = pa.array([DEFAULT_SCHEME] * rows, pa.string())
    scheme = table.column("scheme") if "scheme" in table.column_names else ours
    fold = table.column("fold") if "fold" in table.column_names else pa.array(np.zeros(rows, np.int32))
    try:
        columns = {
            "scheme": as_array(scheme).cast(pa.string()),
            "fold": as_array(fold).cast(pa.int32()),
            "track_id": as_array(table.column(id_name)).cast(pa.string()),
            "split": as_array(table.column("split")).cast(pa.string()),
        }
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{where}: {' '.join(str(error).split())}") from error
    kept = pa.table(columns)
    if any(column.null_count for column in kept.columns):
        raise DataError(f"{where}: rows without a value")
    schemes = sorted(pc.unique(kept.column("scheme")).to_pylist())
    if DEFAULT_SCHEME not in schemes and rows:
        if len(schemes) > 1:
            raise UsageError(
                f"{where}: none of its schemes ({', '.join(schemes)}) is `default`; keep one of them only"
            )
        kept = kept.set_column(0, "scheme", ours)
    counts = kept.group_by(["scheme", "fold", "track_id"]).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts.column("count_all"), 1))
    if twice.num_rows:
        raise DataError(f"{where}: track {twice.column('track_id')[0].as_py()!r} stands twice in one scheme")
    return kept


def kept_splits(kept: pa.Table, scheme: str, fold: int, ids: pa.Array) -> pa.Array:
    """What a kept table says of some tracks: string (ids,), null where it says nothing."""
    mine = pc.and_(pc.equal(kept.column("scheme"), scheme), pc.equal(kept.column("fold"), fold))
    rows = kept.filter(mine)
    places = pc.index_in(ids, value_set=as_array(rows.column("track_id")))
    return as_array(rows.column("split")).take(places)


def split_numbers(splits: pa.Array, names: tuple[str, ...], where: str) -> Codes:
    """Number kept splits: int64 (rows,), -1 for null and `none`. What is learnt from beside the first split
    (`student`, `extra`) counts as the first: its artists may not be measured.

    Raises:
        UsageError: a split that has no ratio.
    """
    for name in sorted(pc.unique(splits).drop_null().to_pylist()):
        if name not in names and name not in RESERVED_SPLITS:
            raise UsageError(f"{where}: the split {name!r} is kept and splits.ratios has none of that name")
    codes = pc.fill_null(pc.index_in(splits, value_set=pa.array(names, pa.string())), -1)
    numbers: Codes = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    learnt = pc.is_in(splits, value_set=pa.array(["extra", "student"])).to_numpy(zero_copy_only=False)
    numbers[learnt] = 0
    return numbers
