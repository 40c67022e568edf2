"""What is remembered is what was made, or it is made again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import cache
from pipelines.cache import Remembered, digest_of_table, remembered
from schemas.cache_folder import cache_folder
from schemas.errors import UsageError

ENTRY = Remembered(
    {
        "tags": pa.table({"tag": pa.array(["rock", None, "jäzz"]), "n": [1, 2, 3]}),
        "coded": pa.table({"tag": pa.array(["a", "b", "a"]).dictionary_encode()}),
        "none": pa.table({"tag": pa.array([], pa.string())}),
    },
    ("one note", "\udcff"),
)
NAMES = list(ENTRY.tables)


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
    assert same(remembered("tags", ["key", 1], NAMES, make), ENTRY)
    assert same(remembered("tags", ["key", 1], NAMES, make), ENTRY)
    assert make.times == 1
    assert [path.name.startswith("tags-") for path in folder.iterdir()] == [True]


def test_another_key_or_kind_is_another_entry(folder: Path) -> None:
    make = Maker()
    for kind, key in (("tags", 1), ("tags", 2), ("tags", [1, 2]), ("songs", 1)):
        remembered(kind, key, NAMES, make)
    assert make.times == 4


def test_damage_anywhere_is_noticed(folder: Path) -> None:
    remembered("tags", 1, NAMES, Maker())
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    damaged = [whole[:length] for length in (0, 5, 31, 60, len(whole) - 1)]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    for content in [*damaged, whole + b"x"]:
        path.write_bytes(content)
        make = Maker()
        assert same(remembered("tags", 1, NAMES, make), ENTRY)
        assert make.times == 1
        assert path.read_bytes() == whole  # and is mended


def forged(head: Any, *tables: pa.Table) -> bytes:
    """An entry whose own digest is right, as anybody who knows the format can write it."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    content = len(text).to_bytes(8, "big") + text
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        content += sink.getvalue().to_pybytes()
    return content + hashlib.sha256(content).digest()


def beyond() -> pa.Table:
    """Text that leads out of its letters."""
    offsets = pa.py_buffer(np.array([0, 1 << 30, 1], np.int32))
    return pa.table({"tag": pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a")])})


FORGED = [
    forged([]),
    forged("tables"),
    forged({}),
    forged({"tables": NAMES}, *ENTRY.tables.values()),
    forged({"notes": []}, *ENTRY.tables.values()),
    forged({"tables": NAMES, "notes": None}, *ENTRY.tables.values()),
    forged({"tables": NAMES, "notes": [1]}, *ENTRY.tables.values()),
    forged({"tables": None, "notes": []}),
    forged({"tables": [1, "tags", None], "notes": []}),
    forged({"tables": ["tags"], "notes": []}, ENTRY.tables["tags"]),
    forged({"tables": [*NAMES, "more"], "notes": []}, *ENTRY.tables.values(), ENTRY.tables["tags"]),
    forged({"tables": NAMES, "notes": []}, ENTRY.tables["tags"]),
    forged(b"[" * 200_000 + b"]" * 200_000),
    forged(b"\xff"),
    forged({"tables": NAMES, "notes": []}, ENTRY.tables["tags"], beyond(), ENTRY.tables["none"]),
]


@pytest.mark.parametrize("content", FORGED)
def test_what_somebody_else_put_there_counts_as_missing(content: bytes, folder: Path) -> None:
    remembered("tags", 1, NAMES, Maker())
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(content)
    make = Maker()
    assert same(remembered("tags", 1, NAMES, make), ENTRY)
    assert make.times == 1
    assert path.read_bytes() == whole


def test_what_was_made_of_something_else_is_not_kept(folder: Path) -> None:
    make = Maker()
    for still, times in ((False, 1), (True, 2), (False, 2)):
        assert same(remembered("tags", 1, NAMES, make, still=[still].pop), ENTRY)
        assert make.times == times


def test_where_nobody_waits_all_get_the_same_and_leave_one_whole_entry(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_LONGEST_WAIT_S", -1.0)
    together = Barrier(4)

    def make() -> Remembered:
        together.wait(30)
        return ENTRY

    with ThreadPoolExecutor(4) as pool:
        found = [run.result() for run in [pool.submit(remembered, "tags", 1, NAMES, make) for _ in range(4)]]
    assert all(same(entry, ENTRY) for entry in found)
    assert len(list(folder.iterdir())) == 1
    after = Maker()
    assert same(remembered("tags", 1, NAMES, after), ENTRY)
    assert after.times == 0


def test_what_fails_is_not_remembered(folder: Path) -> None:
    def fail() -> Remembered:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        remembered("tags", 1, NAMES, fail)
    make = Maker()
    remembered("tags", 1, NAMES, make)
    assert make.times == 1


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / "file"))
    make = Maker()
    for _ in range(2):
        assert same(remembered("tags", 1, NAMES, make), ENTRY)
    assert make.times == 2


def test_what_was_of_use_the_longest_ago_makes_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered("tags", 1, NAMES, Maker())
    (first,) = folder.iterdir()
    monkeypatch.setattr(cache, "MOST_BYTES", 2 * first.stat().st_size + 100)
    for key in (2, 1, 3):  # 1 is of use again
        for path in folder.iterdir():  # as if a minute had passed
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 60_000_000_000))
        remembered("tags", key, NAMES, Maker())
    counted = {}
    for key in (1, 3, 2):
        make = Maker()
        remembered("tags", key, NAMES, make)
        counted[key] = make.times
    assert counted == {1: 0, 3: 0, 2: 1}


def test_foreign_files_are_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 0)
    folder.mkdir(parents=True)
    other = folder.parent / "other"
    other.mkdir()
    (other / "mine").write_text("mine")
    (folder / "dangling").symlink_to(other / "none")
    (folder / "linked").symlink_to(other)
    assert same(remembered("tags", 1, NAMES, Maker()), ENTRY)
    assert sorted(path.name for path in folder.iterdir()) == ["dangling", "linked"]
    assert (other / "mine").read_text() == "mine"


def test_what_killed_writers_left_is_removed_after_a_day(folder: Path) -> None:
    folder.mkdir(parents=True)
    now = time.time()
    for name, hours in (("_tmp-old", 25), ("_tmp-new", 23)):
        (folder / name).write_text("half")
        os.utime(folder / name, (now - hours * 3600,) * 2)
    remembered("tags", 1, NAMES, Maker())
    assert sorted(path.name.partition("-")[2][:3] for path in folder.glob("_tmp-*")) == ["new"]


def test_a_cache_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLORE_CACHE", "memory://cache")
    with pytest.raises(UsageError, match=r"^TRACKLORE_CACHE: memory://cache is not on this machine; name a folder"):
        remembered("tags", 1, NAMES, Maker())


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


WANT = """
import sys, time
from pathlib import Path
import pyarrow as pa
from pipelines.cache import Remembered, remembered

def make():
    with Path(sys.argv[1]).open("a") as made:
        made.write("made\\n")
    time.sleep(float(sys.argv[2]))
    return Remembered({"tags": pa.table({"tag": ["rock"]})})

print(remembered("tags", 1, ["tags"], make).tables["tags"].to_pylist())
"""


def wanting(made: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WANT, str(made), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_two_that_want_the_same_one_makes_it(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    both = [wanting(made, 1.0) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["[{'tag': 'rock'}]\n"] * 2
    assert made.read_text() == "made\n"
    assert not list((folder.parent / "locks").iterdir())


def test_a_maker_that_is_killed_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    first = wanting(made, 60.0)
    while not made.exists():
        time.sleep(0.02)
    second = wanting(made, 0.0)
    first.kill()
    assert second.communicate(timeout=60)[0] == "[{'tag': 'rock'}]\n"
    assert made.read_text() == "made\n" * 2
    first.communicate()
