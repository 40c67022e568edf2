"""Reading pages against a plain query, on cells that pages do and do not tell."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.base import SourceContext, SourceTables
from pipelines.sources.msd import sqlite, sqlite_pages
from pipelines.sources.msd.sqlite import SqliteFile, opened_sqlite
from pipelines.sources.msd.sqlite_pages import Bytes
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings
from schemas.errors import UsageError

texts = st.none() | st.sampled_from(
    ["", "a", "é", "\ud7ff\ue000", "𝄞", "a\x1eb", "\x1f", "\x1e", "x\x1fy", "z\x00z", "rock"]
)
small = st.sampled_from([0, 1, 7, 0xD800, 0xDFFF, 0xFFFD, (1 << 20) - 1])
wholes = small | st.none() | st.sampled_from([-1, 1 << 20, 1 << 40, -(2**63), 2**63 - 1])
reals = st.none() | st.sampled_from([0.0, 1.0, 57.5, -3.0, 1e300, 5e-324, 3.0000000001])
scores = small | st.sampled_from([100.0, 0.0, 57.5, -1, -1.0, 1 << 20, 2**53 + 2, 1e300])
gaps = st.sampled_from([1, 1, 1, 1, 2, 5, 1000])
wrong_text = st.sampled_from([5, 2.5, b"\xff\xfe"])
wrong_number = st.sampled_from(["many", b"7", "7", None])


def written(encoding: str, declared: str, rows: list[tuple[int, tuple[Any, ...]]]) -> sqlite3.Connection:
    """A table `t` of rows after gaps; columns without a declared type keep whatever is given."""
    database = sqlite3.connect(":memory:")
    database.execute(f"PRAGMA encoding = '{encoding}'")
    database.execute(f"CREATE TABLE t ({declared})")
    rowid = -3
    for gap, cells in rows:
        rowid += gap
        marks = ", ".join("?" * (1 + len(cells)))
        names = ", ".join(name.split()[0] for name in declared.split(", "))
        database.execute(f"INSERT INTO t (rowid, {names}) VALUES ({marks})", (rowid, *cells))
    database.text_factory = bytes
    return database


def opened(database: sqlite3.Connection) -> SqliteFile:
    database.commit()
    return SqliteFile(database, "t.db", np.frombuffer(database.serialize(), np.uint8))


def plainly(database: sqlite3.Connection, names: str) -> list[tuple[Any, ...]]:
    def text(cell: Any) -> Any:
        return cell.decode() if isinstance(cell, bytes) else cell

    return [tuple(text(cell) for cell in row) for row in database.execute(f"SELECT {names} FROM t ORDER BY rowid")]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_BATCH_ROWS", 3), ("_BATCH_NUMBERS", 6)):
        monkeypatch.setattr(sqlite, name, size)
    monkeypatch.setattr(sqlite_pages, "_BATCH_BYTES", 1024)


encodings = st.sampled_from(["UTF-8", "UTF-8", "UTF-16le"])
bulky = st.tuples(st.sampled_from(["a", "é", None]), st.just("b"), small, reals)


@given(
    encodings, st.lists(st.tuples(gaps, bulky | st.tuples(texts, texts, wholes, reals)), max_size=14), st.booleans()
)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_columns_are_what_a_plain_query_gives(
    encoding: str, rows: list[tuple[int, tuple[Any, ...]]], dense: bool
) -> None:
    rows = [(1, cells) for _, cells in rows] if dense else rows
    kinds = {"a": pa.string(), "b": pa.string(), "n": pa.int64(), "x": pa.float64()}
    with closing(written(encoding, "a text, b text, n int, x real", rows)) as database:
        found = opened(database).columns("t", kinds, ids=True)
        expected = plainly(database, "rowid, a, b, n, x")
    assert found.schema.types == [pa.int64(), *kinds.values()]
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected


@given(encodings, st.lists(st.tuples(gaps, st.tuples(small, small, small | scores)), max_size=14), st.booleans())
@settings(deadline=None, max_examples=300, derandomize=True)
def test_numbers_are_what_a_plain_query_gives(
    encoding: str, rows: list[tuple[int, tuple[Any, ...]]], dense: bool
) -> None:
    rows = [(1, cells) for _, cells in rows] if dense else rows
    with closing(written(encoding, "a int, b, x float", rows)) as database:
        batches = list(opened(database).numbers("t", ("a", "b", "x")))
        expected = plainly(database, "a, b, x")
    found = [cells for batch in batches for cells in zip(*(part.tolist() for part in batch), strict=True)]
    assert found == [tuple(map(float, cells)) for cells in expected]


NAN_FOR = 12345.678


def test_a_stored_nan_is_null_as_the_library_reads_it() -> None:
    with closing(
        written("UTF-8", "n, x real", [(1, (1, 0.5)), (1, (NAN_FOR, NAN_FOR)), (1, (3, -0.5))])
    ) as database:
        database.commit()
        content = database.serialize()
    for bits in (0x7FF8 << 48, (0xFFF0 << 48) + 1, (1 << 64) - 1):
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(content.replace(struct.pack(">d", NAN_FOR), bits.to_bytes(8, "big")))
            database.text_factory = bytes
            for file in (opened(database), SqliteFile(database, "t.db")):
                found = file.columns("t", {"n": pa.float64(), "x": pa.float64()})
                assert found.to_pydict() == {"n": [1.0, None, 3.0], "x": [0.5, None, -0.5]}
                with pytest.raises(UsageError, match=r"column 'n', row -1: is no number$"):
                    list(file.numbers("t", ("n", "x")))
    infinite = struct.pack(">d", float("inf"))
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(content.replace(struct.pack(">d", NAN_FOR), infinite))
        database.text_factory = bytes
        assert opened(database).columns("t", {"x": pa.float64()}).to_pydict() == {"x": [0.5, float("inf"), -0.5]}


@given(st.lists(st.tuples(gaps, st.tuples(reals | wholes)), max_size=8))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_whole_numbers_in_a_column_of_reals_are_whole_numbers(rows: list[tuple[int, tuple[Any, ...]]]) -> None:
    with closing(written("UTF-8", "x real", rows)) as database:
        expected = [x for (x,) in plainly(database, "x")]
        for file in (opened(database), SqliteFile(database, "t.db")):
            if all(x is None or (x.is_integer() and -(2.0**63) <= x < 2.0**63) for x in expected):
                assert file.columns("t", {"x": pa.int64()}).column("x").to_pylist() == expected
            else:
                with pytest.raises(UsageError, match=r"is not a whole number$"):
                    file.columns("t", {"x": pa.int64()})


class Published(PublishedFiles):
    FILES: ClassVar = {"db": PublishedFile(("t.db",))}

    def read(self) -> SourceTables:
        raise AssertionError("is not asked for")


def of_files(folder: Path, context: SourceContext) -> list[Any]:
    files = Published(PublishedFilesSettings(kind="t", path=str(folder)), context)
    with opened_sqlite(files, "db") as database:
        return cast(list[Any], database.columns("t", {"a": pa.int64()}).column("a").to_pylist())


@pytest.mark.parametrize(("mode", "ending"), [("wal", "-wal"), ("delete", "-journal")])
@pytest.mark.parametrize("linked", [False, True])
def test_a_file_with_its_log_or_journal_is_refused_until_it_is_taken_in(
    mode: str, ending: str, linked: bool, tmp_path: Path, context: SourceContext
) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    with closing(sqlite3.connect(tmp_path / "t.db", isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 2")
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("CREATE TABLE t (a int, b text)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x" * 900) for n in range(60)])
        if mode == "delete":
            database.execute("BEGIN")
            database.execute("UPDATE t SET a = -1")
        for end in ("", ending):  # as a writer that is killed leaves them
            shutil.copy(tmp_path / f"t.db{end}", killed / f"t.db{end}")
    folder = killed
    if linked:
        folder = tmp_path / "links"
        folder.mkdir()
        (folder / "t.db").symlink_to(killed / "t.db")
    with pytest.raises(
        UsageError, match=rf"t\.db: is not whole without {killed}/t\.db{ending}; open it once .*sqlite3"
    ):
        of_files(folder, context)
    with closing(sqlite3.connect(killed / "t.db")) as database:
        database.execute("SELECT count(*) FROM sqlite_master").fetchall()
    assert of_files(folder, context) == list(range(60))
    (killed / f"t.db{ending}").write_bytes(b"")
    assert of_files(folder, context) == list(range(60))


def test_a_journal_that_was_kept_and_holds_nothing_is_no_matter(tmp_path: Path, context: SourceContext) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = persist")
        database.execute("CREATE TABLE t (a int)")
        database.execute("INSERT INTO t VALUES (1)")
    assert (tmp_path / "t.db-journal").stat().st_size
    assert of_files(tmp_path, context) == [1]


def outcome(database: sqlite3.Connection, pages: Bytes | None) -> pa.Table | str:
    try:
        return SqliteFile(database, "t.db", pages).columns("t", {"a": pa.string(), "b": pa.int64()}, ids=True)
    except UsageError as error:
        return str(error)


def test_one_wrong_byte_is_what_the_library_says_of_it() -> None:
    rows = [(1 + n % 3, ("x" * (700 if n == 30 else 3 + n % 50), n * 100)) for n in range(90)]
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA page_size = 512")
        database.execute("CREATE TABLE t (a text, b int)")
        rowids = np.cumsum([gap for gap, _ in rows]).tolist()
        cells = [(rowid, *pair) for rowid, (_, pair) in zip(rowids, rows, strict=True)]
        database.executemany("INSERT INTO t (rowid, a, b) VALUES (?, ?, ?)", cells)
        database.commit()
        whole = database.serialize()
    lost = 0
    random = Random(1)
    for page in range(512, len(whole), 512):
        # Where the tree is each byte; of the rest some.
        for at in [*range(12), *random.sample(range(12, 512), 30)]:
            for value in {0, 255, whole[page + at] ^ 1, max(0, whole[page + at] - 1)} - {whole[page + at]}:
                damaged = bytearray(whole)
                damaged[page + at] = value
                with closing(sqlite3.connect(":memory:")) as database:
                    database.deserialize(bytes(damaged))
                    database.text_factory = bytes
                    said = outcome(database, None)
                    read = outcome(database, np.frombuffer(bytes(damaged), np.uint8))
                assert read == said, (page, at, value)
                lost += isinstance(said, str)
    assert lost > 100


@given(st.integers(0, 8), st.integers(0, 8), wrong_text, wrong_number)
@settings(deadline=None, max_examples=80, derandomize=True)
def test_a_cell_of_another_type_is_named(before: int, after: int, text: Any, number: Any) -> None:
    def rows(cell: Any) -> list[tuple[int, tuple[Any, ...]]]:
        return [(1, cells) for cells in [("b", 1)] * before + [cell] + [("b", 1)] * after]

    with (
        closing(written("UTF-8", "a, n", rows((text, 1)))) as database,
        pytest.raises(UsageError, match=rf"^t\.db: table 't', column 'a', row {before - 2}: .* is not text$"),
    ):
        opened(database).columns("t", {"a": pa.string(), "n": pa.int64()})
    with (
        closing(written("UTF-8", "a, n", rows(("b", number)))) as database,
        pytest.raises(UsageError, match=rf"^t\.db: table 't', column 'n', row {before - 2}: is no number$"),
    ):
        list(opened(database).numbers("t", ("n",)))
