"""What is remembered is what was made, or it is made again."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pytest

from pipelines import cache
from pipelines.cache import Remembered, cache_folder, digest_of_table, remembered

ENTRY = Remembered(
    {
        "tags": pa.table({"tag": pa.array(["rock", None, "jäzz"]), "n": [1, 2, 3]}),
        "coded": pa.table({"tag": pa.array(["a", "b", "a"]).dictionary_encode()}),
        "none": pa.table({"tag": pa.array([], pa.string())}),
    },
    ("one note", "\udcff"),
)


class Maker:
    """Makes an entry, and counts how often."""

    def __init__(self, entry: Remembered = ENTRY) -> None:
        self.times = 0
        self._entry = entry

    def __call__(self) -> Remembered:
        self.times += 1
        return self._entry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tables"


def same(one: Remembered, other: Remembered) -> bool:
    return (
        one.notes == other.notes
        and list(one.tables) == list(other.tables)
        and all(table.equals(other.tables[name]) for name, table in one.tables.items())
    )


def test_an_entry_is_made_once(folder: Path) -> None:
    make = Maker()
    assert same(remembered("tags", ["key", 1], make), ENTRY)
    assert same(remembered("tags", ["key", 1], make), ENTRY)
    assert make.times == 1
    assert [path.name.startswith("tags-") for path in folder.iterdir()] == [True]


def test_another_key_or_kind_is_another_entry(folder: Path) -> None:
    make = Maker()
    for kind, key in (("tags", 1), ("tags", 2), ("tags", [1, 2]), ("songs", 1)):
        remembered(kind, key, make)
    assert make.times == 4


def test_damage_anywhere_is_noticed(folder: Path) -> None:
    remembered("tags", 1, Maker())
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    damaged = [whole[:length] for length in (0, 5, 31, 60, len(whole) - 1)]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    for content in [*damaged, whole + b"x"]:
        path.write_bytes(content)
        make = Maker()
        assert same(remembered("tags", 1, make), ENTRY)
        assert make.times == 1
        assert path.read_bytes() == whole  # and is mended


def test_two_at_once_get_the_same_and_leave_one_whole_entry(folder: Path) -> None:
    together = Barrier(4)

    def make() -> Remembered:
        together.wait(30)
        return ENTRY

    with ThreadPoolExecutor(4) as pool:
        found = [run.result() for run in [pool.submit(remembered, "tags", 1, make) for _ in range(4)]]
    assert all(same(entry, ENTRY) for entry in found)
    assert len(list(folder.iterdir())) == 1
    after = Maker()
    assert same(remembered("tags", 1, after), ENTRY)
    assert after.times == 0


def test_what_fails_is_not_remembered(folder: Path) -> None:
    def fail() -> Remembered:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        remembered("tags", 1, fail)
    make = Maker()
    remembered("tags", 1, make)
    assert make.times == 1


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / "file"))
    make = Maker()
    for _ in range(2):
        assert same(remembered("tags", 1, make), ENTRY)
    assert make.times == 2


def test_what_was_of_use_the_longest_ago_makes_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered("tags", 1, Maker())
    (first,) = folder.iterdir()
    monkeypatch.setattr(cache, "MOST_BYTES", 2 * first.stat().st_size + 100)
    for key in (2, 1, 3):  # 1 is of use again
        for path in folder.iterdir():  # as if a minute had passed
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 60_000_000_000))
        remembered("tags", key, Maker())
    counted = {}
    for key in (1, 3, 2):
        make = Maker()
        remembered("tags", key, make)
        counted[key] = make.times
    assert counted == {1: 0, 3: 0, 2: 1}


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKLORE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/a/cache")
    assert cache_folder() == "/a/cache/tracklore"
    monkeypatch.setenv("TRACKLORE_CACHE", "/b")
    assert cache_folder() == "/b"


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.slice(1),
        lambda table: table.rename_columns(["other"]),
        lambda table: table.cast(pa.schema([("tag", pa.large_string())])),
        lambda table: pa.table({"tag": ["b", "a", None]}),
    ],
)
def test_tables_are_told_apart(change: Callable[[pa.Table], pa.Table]) -> None:
    table = pa.table({"tag": ["a", "b", None]})
    assert digest_of_table(table) == digest_of_table(pa.table({"tag": ["a", "b", None]}))
    assert digest_of_table(table) != digest_of_table(change(table))
