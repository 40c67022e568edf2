"""Databases, HDF5, arrays and pickles of the Million Song Dataset that are hostile or broken."""

from __future__ import annotations

import io
import os
import pickle
import sqlite3
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.faults.bad_inputs.sandbox import Sandbox, Whole, as_yaml, spoil_each
from tests.faults.tally import share_of


class _Payload:
    """Pickled, it asks for a call."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self._asked = (call, arguments)

    def __reduce__(self) -> Any:
        return self._asked


def payloads(canary: Path) -> list[bytes]:
    touch = f"touch {canary}"
    made: list[bytes] = []
    for protocol in (0, 2, 4):
        made += [
            pickle.dumps({"TR": _Payload(os.system, touch)}, protocol),
            pickle.dumps([_Payload(open, str(canary), "w")], protocol),
            pickle.dumps(_Payload(eval, f"open({str(canary)!r}, 'w')"), protocol),
        ]
    line = str(canary).encode()
    return [
        *made,
        b"cposix\nsystem\n(S'touch " + line + b"'\ntR.",
        b"(S'touch " + line + b"'\nios\nsystem\n.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cnumpy.testing\nassert_\n(I01\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x06touch x\x85R.",
        b"\x80\x02]" + b"]" * 100_000 + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
        b"I" + b"9" * 6000 + b"\n.",
        b"\x80\x02}r\xff\xff\xff\x7f.",
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000\nI1000000000\ntS'b'\ntR.",
    ]


def npy_of(header: str, body: bytes = b"") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def arrays(canary: Path) -> list[bytes]:
    whole = io.BytesIO()
    np.save(whole, np.array(["TRAAAAA128F0000001"]))
    objects = io.BytesIO()
    np.save(objects, np.array([_Payload(os.system, f"touch {canary}")], object), allow_pickle=True)
    return [
        objects.getvalue(),
        whole.getvalue()[:-5],
        npy_of("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"),
        npy_of("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes(4)),
        npy_of("{'descr': '|V0', 'fortran_order': False, 'shape': (9,), }"),
        npy_of("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", payloads(canary)[0]),
        npy_of(f"__import__('os').system('touch {canary}')"),
        npy_of("{'descr': " + "[" * 5000 + "}"),
        npy_of("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9," * 200 + "), }"),
        b"\x93NUMPY\x09\x00" + whole.getvalue()[8:],
        b"PK\x03\x04" + bytes(100),
        b"",
    ]


def songs(folder: Path) -> None:
    """`track_metadata.db` of three songs."""
    columns = "track_id text PRIMARY KEY, title text, song_id text, release text, artist_id text, artist_mbid text"
    columns += ", artist_name text, duration real, artist_familiarity real, artist_hotttnesss real, year int"
    columns += ", track_7digitalid int, shs_perf int, shs_work int"
    with sqlite3.connect(folder / "track_metadata.db") as base:
        base.execute(f"CREATE TABLE songs ({columns})")
        for n in range(3):
            row = (f"TRAAAAA128F000000{n}", f"T{n}", f"SOAAAAA12A8C00000{n}", "R", f"AR{n}", "", f"A{n}", 2.0)
            base.execute(f"INSERT INTO songs VALUES ({','.join('?' * 14)})", (*row, 0.5, 0.5, 1999, n, -1, 0))
    base.close()


def million_song(folder: Path, *more: str) -> list[str]:
    content = {"name": "m", "source": {"kind": "million_song", "path": str(folder)}, "pairs": None}
    (folder / "m.yaml").write_bytes(as_yaml(content))
    return [str(folder / "m.yaml"), *(word for setting in more for word in ("--set", f"source.{setting}"))]


def databases(folder: Path) -> dict[str, Whole]:
    songs(folder)
    with sqlite3.connect(folder / "lastfm_tags.db") as base:
        base.execute("CREATE TABLE tids (tid text)")
        base.execute("CREATE TABLE tags (tag text)")
        base.execute("CREATE TABLE tid_tag (tid int, tag int, val real)")
        base.executemany("INSERT INTO tids VALUES (?)", [(f"TRAAAAA128F000000{n}",) for n in range(3)])
        base.executemany("INSERT INTO tags VALUES (?)", [("rock",), ("pop",)])
        base.executemany("INSERT INTO tid_tag VALUES (?,?,?)", [(1, 1, 100.0), (2, 2, 50.0), (3, 1, 7.0)])
    base.close()
    content = {name: (folder / name).read_bytes() for name in ("track_metadata.db", "lastfm_tags.db")}
    return {name: Whole(found, million_song(folder, "labels=[lastfm]")) for name, found in content.items()}


def test_databases(sandbox: Sandbox) -> None:
    spoil_each(sandbox, "bad SQLite", databases, 30)


def frames(folder: Path) -> dict[str, Whole]:
    """A frame as pandas writes one, with a pickle in its cells."""
    songs(folder)
    names = ["genres", "styles", "moods", "themes"]
    index = [f"TRAAAAA128F000000{n}" for n in range(3)]
    cells = np.empty((3, 4), object)
    for place in np.ndindex(3, 4):
        cells[place] = ["Rock", "Pop"]
    path = folder / "msd_amglabels_all.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        given = {"CLASS": b"GROUP", "pandas_type": b"frame", "nblocks": 1, "ndim": 2, "encoding": b"UTF-8"}
        group.attrs.update(given)
        for name, texts in (("axis0", names), ("axis1", index), ("block0_items", names)):
            array = group.create_dataset(name, data=np.array([text.encode() for text in texts]))
            array.attrs.update({"CLASS": b"ARRAY", "kind": b"string", "transposed": np.uint8(1)})
        cell = group.create_dataset("block0_values", (1,), h5py.vlen_dtype(np.uint8))
        cell[0] = np.frombuffer(pickle.dumps(cells, 2), np.uint8)
        cell.attrs.update({"CLASS": b"VLARRAY", "PSEUDOATOM": b"object", "transposed": np.uint8(1)})
    return {path.name: Whole(path.read_bytes(), million_song(folder, "labels=[allmusic]"))}


def test_hdf5(sandbox: Sandbox) -> None:
    spoil_each(sandbox, "bad HDF5", frames, 24)


def test_pickles(sandbox: Sandbox) -> None:
    listed = payloads(sandbox.canary)
    for number, content in enumerate(listed[: share_of(len(listed))]):
        folder = sandbox.fresh()
        songs(folder)
        (folder / "MSD_id_to_7D_id.pkl").write_bytes(pickle.dumps({"TRAAAAA128F0000001": "1"}, 2))
        (folder / "7D_id_to_path.pkl").write_bytes(content)
        words = million_song(folder, "labels=[]", "tracks=all", f"audio={folder}")
        sandbox.judge("bad pickle", f"{number}", "build", *words, "--only", "source", allowed=(1, 2))


def test_arrays(sandbox: Sandbox) -> None:
    listed = arrays(sandbox.canary)
    for number, content in enumerate(listed[: share_of(len(listed))]):
        folder = sandbox.fresh()
        songs(folder)
        for part in ("train", "valid", "test"):
            (folder / f"{part}_ids.npy").write_bytes(content)
            (folder / f"{part}_binaries.npy").write_bytes(content)
        words = million_song(folder, "labels=[cals]", "split=cals")
        sandbox.judge("bad array", f"{number}", "build", *words, "--only", "source", allowed=(1, 2))
