from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from schemas.errors import UsageError
from schemas.tables import TAXONOMY

IDS = ["TRWYIGP128F1454835", "TRGFXIU128F1454832", "TRAAAAK128F9318786"]
COLUMNS = ["genres", "styles", "moods", "themes"]
CELLS: list[list[list[str] | None]] = [
    [["Pop/Rock", "Electronic"], ["Adult Alternative Pop/Rock"], ["Fiery", "Sad"], None],
    [["Holiday"], None, None, ["Holiday", "Christmas"]],
    [None, None, None, None],
]
EXPECTED = [
    ("TRGFXIU128F1454832", "Christmas"),
    ("TRGFXIU128F1454832", "Holiday"),
    ("TRGFXIU128F1454832", "Holiday"),
    ("TRWYIGP128F1454835", "Adult Alternative Pop/Rock"),
    ("TRWYIGP128F1454835", "Electronic"),
    ("TRWYIGP128F1454835", "Fiery"),
    ("TRWYIGP128F1454835", "Pop/Rock"),
    ("TRWYIGP128F1454835", "Sad"),
]


def python3_objects(cells: list[list[Any]], protocol: int = pickle.HIGHEST_PROTOCOL) -> bytes:
    array = np.empty((len(cells), len(cells[0])), object)
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            array[row, column] = float("nan") if value is None else value
    return pickle.dumps(array, protocol)


@pytest.fixture
def folder(tmp_path: Path, formats: Any) -> Path:
    formats.write_frame(tmp_path / "msd_amglabels_all.h5", IDS, COLUMNS, formats.python2_objects(CELLS))
    return tmp_path


def test_the_frame_is_read_without_pandas(folder: Path, read: Any, pairs: Any) -> None:
    tables = read("allmusic", folder)
    assert pairs(tables) == EXPECTED
    assert tables.published is None
    assert tables.taxonomy.schema.equals(TAXONOMY.schema)
    categories = {row["raw_tag"]: row["category"] for row in tables.taxonomy.to_pylist()}
    assert categories == {
        "Adult Alternative Pop/Rock": "style",
        "Christmas": "theme",
        "Electronic": "genre",
        "Fiery": "mood",
        "Holiday": "genre",
        "Pop/Rock": "genre",
        "Sad": "mood",
    }
    assert any("1 tags are in several" in note for note in tables.notes)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_later_writers_key_and_column_order_do_not_matter(
    protocol: int, tmp_path: Path, read: Any, pairs: Any, formats: Any
) -> None:
    turned = [row[::-1] for row in CELLS]
    values = python3_objects(turned, protocol)
    formats.write_frame(tmp_path / "msd_amglabels_all.h5", IDS, COLUMNS[::-1], values, key="msd_amglabels_all")
    tables = read("allmusic", tmp_path)
    assert pairs(tables) == EXPECTED
    assert tables.taxonomy.column("category").to_pylist().count("genre") == 3


def test_a_block_that_lies_turned_is_turned_back(folder: Path, read: Any, pairs: Any) -> None:
    turned = [list(column) for column in zip(*CELLS, strict=True)]
    with h5py.File(folder / "msd_amglabels_all.h5", "r+") as file:
        cell = file["df/block0_values"]
        cell[0] = np.frombuffer(python3_objects(turned), np.uint8)
        cell.attrs["transposed"] = np.uint8(0)
    assert pairs(read("allmusic", folder)) == EXPECTED


def test_an_index_of_objects_is_read(folder: Path, read: Any, pairs: Any) -> None:
    """As pandas of Python 2 stored an index of unicode."""
    with h5py.File(folder / "msd_amglabels_all.h5", "r+") as file:
        del file["df/axis1"]
        cell = file["df"].create_dataset("axis1", (1,), h5py.vlen_dtype(np.uint8))
        cell[0] = np.frombuffer(pickle.dumps(np.array(IDS, object), 2), np.uint8)
    assert pairs(read("allmusic", folder)) == EXPECTED


def refused(folder: Path, read: Any) -> str:
    with pytest.raises(UsageError) as raised:
        read("allmusic", folder)
    message = str(raised.value)
    assert "msd_amglabels_all.h5" in message and "\n" not in message
    return message


def test_a_hostile_cell_is_refused_and_not_run(folder: Path, read: Any, formats: Any) -> None:
    trap = folder / "trap"
    path = folder / "msd_amglabels_all.h5"
    bare = f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode()
    formats.write_frame(path, IDS, COLUMNS, bare)
    assert "posix.system" in refused(folder, read)
    inside = python3_objects([["HERE", None, None, None], *CELLS[1:]], 2)
    text = b"X\x04\x00\x00\x00HERE"
    assert text in inside
    formats.write_frame(path, IDS, COLUMNS, inside.replace(text, bare[:-1]))
    assert "posix.system" in refused(folder, read)
    with h5py.File(path, "r+") as file:
        del file["df/axis1"]
        file["df"].create_dataset("axis1", (1,), h5py.vlen_dtype(np.uint8))[0] = np.frombuffer(bare, np.uint8)
    assert "posix.system" in refused(folder, read)
    assert not trap.exists()


def test_what_is_no_frame_of_tags_is_refused(folder: Path, read: Any, formats: Any) -> None:
    path = folder / "msd_amglabels_all.h5"
    whole = path.read_bytes()
    for damage in (b"no HDF5", whole[:600], whole[: len(whole) // 2]):
        path.write_bytes(damage)
        refused(folder, read)
    formats.write_frame(path, IDS, COLUMNS[:3], python3_objects([row[:3] for row in CELLS]))
    assert "'themes'" in refused(folder, read)
    formats.write_frame(path, IDS, COLUMNS, python3_objects(CELLS[:2]))
    assert "(2, 4)" in refused(folder, read)
    formats.write_frame(path, IDS, COLUMNS, python3_objects([["Pop/Rock", None, None, None], *CELLS[1:]]))
    assert f"the cell of {IDS[0]} is no list" in refused(folder, read)
    formats.write_frame(path, IDS, COLUMNS, python3_objects([[[1.5], None, None, None], *CELLS[1:]]))
    assert "no text" in refused(folder, read)
    formats.write_frame(path, IDS, COLUMNS, python3_objects([[[["x"]], None, None, None], *CELLS[1:]]))
    assert IDS[0] in refused(folder, read)
    with h5py.File(path, "w") as file:
        file["other"] = [1, 2]
    assert "0 pandas frames" in refused(folder, read)


def test_a_file_cannot_reach_outside_itself_or_ask_for_more_memory_than_it_has(
    folder: Path, read: Any, formats: Any
) -> None:
    path = folder / "msd_amglabels_all.h5"
    secret = folder / "secret.h5"
    formats.write_frame(secret, IDS, COLUMNS, formats.python2_objects(CELLS))
    with h5py.File(path, "w") as file:
        file["df"] = h5py.ExternalLink("secret.h5", "/df")
    refused(folder, read)
    formats.write_frame(path, IDS, COLUMNS, formats.python2_objects(CELLS))
    with h5py.File(path, "r+") as file:
        del file["df/axis1"]
        file["df"].create_dataset("axis1", (1 << 40,), "S18", chunks=(1 << 10,))
    assert "too many" in refused(folder, read)
