"""A pandas DataFrame of lists as `to_hdf` stores it (format `fixed`), read by h5py, without pandas' unpickling.

The group of the frame holds `axis0` (columns), `axis1` (index) and, a block of columns of one type, `blockN_items`
and `blockN_values`. A block of Python objects is one variable-length row of bytes: the pickle of the whole array.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import h5py
import numpy as np

from pipelines.sources.msd.label_columns import texts
from pipelines.sources.pickles import unpickled
from schemas.errors import UsageError, fault_of_file

_MOST_CELLS = 10_000_000
_MOST_BYTES = 4096


def read_frame(stream: BinaryIO, where: str) -> tuple[list[str], dict[str, list[Any]]]:
    """The index and the columns of the one frame of a file; cells are what they were in Python.

    Raises:
        UsageError: naming the file: it is no HDF5, holds no frame or several, or a pickle of more than plain data.
    """
    try:
        with h5py.File(stream, "r") as file:
            return _frame(_only_frame(file, where), where)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{where}: no HDF5 file that can be read ({fault_of_file(error)[:200]})") from error


def _only_frame(file: h5py.File, where: str) -> h5py.Group:
    frames = [name for name in file if isinstance(_linked(file, name, where), h5py.Group) and "axis1" in file[name]]
    if len(frames) != 1:
        raise UsageError(f"{where}: holds {len(frames)} pandas frames (axis0, axis1, …), and one is published")
    return file[frames[0]]


def _linked(group: h5py.Group, name: str, where: str) -> Any:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise UsageError(f"{where}: {name} is no part of the file")
    return group[name]


def _frame(group: h5py.Group, where: str) -> tuple[list[str], dict[str, list[Any]]]:
    index = texts(_values(group, "axis1", where), f"{where}: {group.name}/axis1")
    columns: dict[str, list[Any]] = {}
    for block in range(len(group)):
        if f"block{block}_items" not in group:
            break
        name = f"block{block}_values"
        items = texts(_values(group, f"block{block}_items", where), f"{where}: {group.name}/block{block}_items")
        values = np.asarray(_values(group, name, where))
        if not group[name].attrs.get("transposed", False):
            values = values.T
        if values.shape != (len(index), len(items)):
            raise UsageError(
                f"{where}: {group.name}/{name} has {values.shape} cells for {len(index)} rows, {len(items)} columns"
            )
        columns.update({item: values[:, place].tolist() for place, item in enumerate(items)})
    return index, columns


def _values(group: h5py.Group, name: str, where: str) -> Any:
    dataset = _linked(group, name, where)
    place = f"{where}: {group.name}/{name}"
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise UsageError(f"{place}: is no array in the file")
    if h5py.check_vlen_dtype(dataset.dtype) is not None:
        if dataset.shape != (1,):
            raise UsageError(f"{place}: {dataset.shape} pickles, and one of the whole array is published")
        return unpickled(np.asarray(dataset[0], np.uint8).tobytes(), place)
    if dataset.size > _MOST_CELLS or dataset.dtype.itemsize > _MOST_BYTES:
        raise UsageError(f"{place}: {dataset.size:,} cells of {dataset.dtype.itemsize:,} bytes are too many")
    values = dataset[()]
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
