"""Writers of small files in the formats in which labels of the Million Song Dataset were released."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

from pipelines.sources.base import SourceContext, SourceTables
from pipelines.sources.msd.label_source import LabelTables, MillionSongFiles, label_source
from pipelines.sources.published_files import PublishedFilesSettings

VECTORS = 50


def python2_ids(ids: Sequence[str]) -> bytes:
    """A list of text as Python 2's cPickle writes it by default (protocol 0)."""
    items = "".join(f"S'{track_id}'\np{place}\na" for place, track_id in enumerate(ids, start=2))
    return f"(lp1\n{items}.".encode()


def python2_vectors(vectors: Mapping[str, Sequence[int]]) -> bytes:
    """A dict from text to boolean arrays of (50, 1), likewise; names stand once and are then referred to."""
    reconstruct = "cnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntR"
    again = "g3\n(g4\n(I0\ntS'b'\ntR"
    dtype = "cnumpy\ndtype\np6\n(S'b1'\nI0\nI1\ntRp7\n(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    parts = ["(dp1\n"]
    for place, (track_id, vector) in enumerate(vectors.items()):
        cells = "".join(f"\\x{cell:02x}" for cell in vector)
        parts.append(f"S'{track_id}'\np{10 + 2 * place}\n")
        parts.append(f"{again if place else reconstruct}p{11 + 2 * place}\n")
        parts.append(f"(I1\n(I{len(vector)}\nI1\nt{'g7' + chr(10) if place else dtype}I00\nS'{cells}'\ntbs")
    return ("".join(parts) + ".").encode()


def python2_objects(rows: Sequence[Sequence[Any]]) -> bytes:
    """An array of lists of text and NaN, written by Python 2 with protocol 2 as PyTables does."""
    out = io.BytesIO()
    out.write(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01"
    )
    out.write(b"K" + bytes([len(rows)]) + b"K" + bytes([len(rows[0])]) + b"\x86")
    out.write(
        b"cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]("
    )
    for cell in (cell for row in rows for cell in row):
        if cell is None:
            out.write(b"G\x7f\xf8\x00\x00\x00\x00\x00\x00")
        else:
            tags = b"".join(b"U" + bytes([len(tag)]) + tag.encode() for tag in cell)
            out.write(b"](" + tags + b"e")
    out.write(b"etb.")
    return out.getvalue()


def write_frame(path: Path, index: Sequence[str], columns: Sequence[str], values: bytes, key: str = "df") -> None:
    """A DataFrame as pandas' `to_hdf` stores one of objects: text of fixed width, and one cell with a pickle."""
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        group.attrs.update(
            {"CLASS": b"GROUP", "pandas_type": b"frame", "nblocks": 1, "ndim": 2, "encoding": b"UTF-8"}
        )
        for name, texts in (("axis0", columns), ("axis1", index), ("block0_items", columns)):
            array = group.create_dataset(name, data=np.array([text.encode() for text in texts]))
            array.attrs.update({"CLASS": b"ARRAY", "kind": b"string", "transposed": np.uint8(1)})
        cell = group.create_dataset("block0_values", (1,), h5py.vlen_dtype(np.uint8))
        cell[0] = np.frombuffer(values, np.uint8)
        cell.attrs.update({"CLASS": b"VLARRAY", "PSEUDOATOM": b"object", "transposed": np.uint8(1)})


def write_metadata(folder: Path, songs: Sequence[tuple[str, str, str, str]]) -> None:
    """`track_metadata.db` of (track_id, song_id, artist_id, artist_name)."""
    with sqlite3.connect(folder / "track_metadata.db") as base:
        base.execute(
            "CREATE TABLE songs (track_id text PRIMARY KEY, title text, song_id text, release text, "
            "artist_id text, artist_mbid text, artist_name text, duration real, "
            "artist_familiarity real, artist_hotttnesss real, "
            "year int, track_7digitalid int, shs_perf int, shs_work int)"
        )
        for place, (track, song, artist, name) in enumerate(songs):
            row = (
                track,
                f"Title {place}",
                song,
                "Album",
                artist,
                "",
                name,
                200.0 + place,
                0.5,
                0.5,
                1999,
                place,
                -1,
                0,
            )
            base.execute("INSERT INTO songs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
    base.close()


class Files(MillionSongFiles):
    """The files of one label source, with a few songs."""

    SONGS: Mapping[str, Sequence[str]] = {}
    labels: Any = None
    wanted: Mapping[str, bool] = {}

    def files(self) -> Any:
        return self.labels.files_for(**self.wanted)

    def songs(self) -> pa.Table:
        pairs = sorted((song, track) for song, tracks in self.SONGS.items() for track in tracks)
        return pa.table({"song_id": [s for s, _ in pairs], "track_id": [t for _, t in pairs]})

    def read(self) -> SourceTables:
        raise AssertionError("these tests read the tables of labels, and no whole source")


Read = Callable[..., LabelTables]


@pytest.fixture
def read(context: SourceContext) -> Read:
    """Read one label source from a folder."""

    def reading(
        name: str,
        folder: Path,
        *,
        labels: bool = True,
        split: bool = True,
        songs: Mapping[str, Sequence[str]] | None = None,
    ) -> LabelTables:
        source = label_source(name, "source.labels")
        members = {"labels": source, "wanted": {"labels": labels, "split": split}, "SONGS": songs or {}}
        opened = type("Opened", (Files,), members)
        files = opened(PublishedFilesSettings(kind="million_song", path=str(folder)), context)
        return source.read(files, None)

    return reading


@pytest.fixture
def formats() -> SimpleNamespace:
    """The writers."""
    return SimpleNamespace(
        python2_ids=python2_ids,
        python2_vectors=python2_vectors,
        python2_objects=python2_objects,
        write_frame=write_frame,
        write_metadata=write_metadata,
        write_json=lambda path, content: path.write_text(json.dumps(content), "utf-8"),
    )


@pytest.fixture
def pairs() -> Callable[[LabelTables], list[tuple[str, str]]]:
    """The (track, tag) pairs of what was read, sorted."""

    def listed(tables: LabelTables) -> list[tuple[str, str]]:
        rows = tables.annotations.to_pylist()
        return sorted((row["track_id"], row["raw_tag"]) for row in rows)

    return listed
