"""Inputs of every format that are hostile or broken: each ends in a clear line or an exclusion.

Nothing in them is executed, and nothing is written outside of the output.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.faults.tally import Faults, share_of

Command = Callable[..., Any]
RATE = 16_000
# Control characters that no output may have; a reader's terminal would obey them.
_RAW = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
GENERATED = settings(
    database=None,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Sandbox:
    """A folder that a command may write into one place of, and what it may not do."""

    folder: Path
    command: Command
    faults: Faults
    number: int = 0

    @property
    def canary(self) -> Path:
        """Is there when something was executed."""
        return self.folder / "canary"

    def fresh(self) -> Path:
        """A folder for the next input."""
        self.number += 1
        folder = self.folder / f"in-{self.number}"
        folder.mkdir()
        return folder

    def judge(self, kind: str, what: str, *words: str | Path, allowed: tuple[int, ...] = (0, 1, 2)) -> Any:
        """Run a command on a hostile input, and require a decent end."""
        out = self.folder / f"out-{self.number}"
        ran = None
        with self.faults.plant(kind, what) as fault:
            before = self._everything(out)
            ran = self.command(*words, "--out", out)
            said = ran.out + ran.err
            assert "Traceback" not in said, said[-2000:]
            assert ran.code in allowed, (ran.code, said[-1000:])
            assert not _RAW.search(said), repr(said[-500:])
            assert not self.canary.exists(), "it was executed"
            if ran.code:
                last = ran.err.strip().splitlines()[-1]
                assert last.startswith("tracklore: "), ran.err[-1000:]
                assert len(last) < 6000, "a line of a book's length"
            assert self._everything(out) == before, "written outside of the output"
            if ran.code:
                fault.refused()
            else:
                fault.recovered()
        return ran

    def _everything(self, out: Path) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.folder.rglob("*"):
            if not path.is_relative_to(out):
                status = path.lstat()
                found[str(path)] = (status.st_size, status.st_mtime_ns)
        return found


@pytest.fixture
def sandbox(tmp_path: Path, command: Command, faults: Faults) -> Sandbox:
    return Sandbox(tmp_path, command, faults)


def tone(path: Path, seconds: float = 4.0, pitch: float = 220.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, (0.5 * np.sin(2 * np.pi * pitch * t)).astype(np.float32), RATE)
    return path


# Manifests

VALID: dict[str, Any] = {
    "name": "mine",
    "card": {"title": "Mine", "sources": [{"name": "x", "licence": "y"}]},
    "source": {"kind": "folder", "path": "music"},
    "tags": {"min_tracks": 1, "rules": "none", "top": 5},
    "captions": {"kind": "templates", "templates": "default", "fallback": "title"},
    "splits": {"ratios": {"train": 0.5, "test": 0.5}, "seed": 1, "effort": 1},
    "pairs": {"split": "test", "count": 5},
    "features": {"a": {"kind": "log_mel", "preset": "ttmr"}, "b": {"kind": "fingerprint"}},
    "videos": {"local": "videos", "filter": {"detector": "content", "threshold": 2.0}},
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(
        [
            "..",
            "/etc/passwd",
            "../../../../etc",
            "x" * 4000,
            "a\nb",
            "\x1b[31mred",
            "${HOME}",
            "$(touch canary)",
            "file:///etc/passwd",
            "http://169.254.169.254/",
            "train",
            "",
            " ",
            "\u202egnp.exe",
            "{id}",
            "{track_id.__class__}",
            "-1",
            "0x10",
            "1e999",
            "1_000",
            "~root",
        ]
    ),
    st.text(max_size=30),
    st.lists(st.integers() | st.text(max_size=5), max_size=4),
    st.dictionaries(st.text(max_size=8), st.integers() | st.none(), max_size=3),
)


def places(content: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*at, key)
            yield from places(value, (*at, key))


PLACES = list(places(VALID))


def changed(place: tuple[str, ...], value: Any, how: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(VALID))
    section = content
    for key in place[:-1]:
        section = section[key]
    if how == "replaced":
        section[place[-1]] = value
    elif how == "renamed":
        section[str(value)] = section.pop(place[-1])
    else:
        del section[place[-1]]
    return content


def as_yaml(content: Any) -> bytes:
    return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")


MANIFESTS = st.builds(
    lambda place, value, how: as_yaml(changed(place, value, how)),
    st.sampled_from(PLACES),
    JUNK,
    st.sampled_from(["replaced", "replaced", "replaced", "renamed", "left out"]),
)
BROKEN = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
    st.builds(lambda text, cut: text[:cut], st.just(as_yaml(VALID)), st.integers(0, 700)),
    st.sampled_from(
        [
            b"a: &a [x]\n" + b"".join(b"b%d: &b%d [*a, *a, *a]\n" % (n, n) for n in range(40)),
            b"[" * 5000,
            b"{a: " * 3000,
            b"name: !!python/object/apply:os.system ['touch canary']\n",
            b"name: !!python/name:os.system\n",
            b"? [a, b]\n: c\n",
            b"? {a: 1}\n: c\n",
            b"name: x\nsource: {kind: !!binary aGVsbG8=}\n",
            b"<<: *x\n",
            b"name: 2020-01-01\nsource: 2021-02-30\n",
            b"\xff\xfen\x00a\x00",
            b"%YAML 9.9\n---\nname: x\n",
            b"name: x\n---\nname: y\n",
            b"a: " + b"9" * 5000,
            b"a: 1e" + b"9" * 400,
            b"a: 0b" + b"1" * 5000,
            b"a: " + b"1:" * 3000 + b"1",
            b"\x00",
        ]
    ),
)


@pytest.fixture(scope="module")
def one_piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("piece") / "a.wav")


def test_manifests(sandbox: Sandbox, one_piece: Path) -> None:
    @given(st.one_of(MANIFESTS, MANIFESTS, BROKEN))
    @settings(GENERATED, max_examples=share_of(90))
    def each(content: bytes) -> None:
        folder = sandbox.fresh()
        (folder / "m.yaml").write_bytes(content)
        (folder / "music").mkdir()
        os.link(one_piece, folder / "music/a.wav")
        sandbox.judge("bad manifest", repr(content[:80]), "build", folder / "m.yaml", "--only", "source")

    each()


# Tables


def spoilt(content: bytes, draws: random.Random) -> bytes:
    """A file that was damaged in some way."""
    made = bytearray(content)
    place = draws.randrange(max(1, len(made)))
    match draws.randrange(8):
        case 0:
            return bytes(made[:place])
        case 1:
            for _ in range(draws.randint(1, 12)):
                made[draws.randrange(len(made))] = draws.randrange(256)
        case 2:
            made[place:place] = draws.randbytes(draws.randint(1, 40))
        case 3:
            made[place:place] = draws.choice(
                [b"\x00", b'"', b"\xff\xfe", b"\xed\xa0\x80", b"\r", b"\x1b[2J", b"\n"]
            )
        case 4:
            made[place : place + 64] = bytes(min(64, len(made) - place))
        case 5:
            return draws.randbytes(draws.randint(0, 400))
        case 6:
            made[place : place + 8] = struct.pack("<q", draws.choice([-1, 1 << 40, (1 << 63) - 1, 0]))
        case _:
            start = draws.randrange(len(made))
            made = made[start:] + made[:start]
    return bytes(made)


HOSTILE_NAMES = (
    "../../escaped",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "",
    "new\nline",
    "nul\x00l",
    "x" * 4000,
    "\x1b]0;title\x07",
    "s3://bucket/x",
    "file:///etc/passwd",
    "-rf",
    "|touch canary",
    "`touch canary`",
    "CON",
    "a" * 300 + ".wav",
    "\u202egpj.wav",
    "C:\\Windows\\x.wav",
    "~/x.wav",
)


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def metadata(rows: list[tuple[str, str]]) -> bytes:
    lines = ["path,track_id,title,tags", *(f"{csv_cell(p)},{csv_cell(t)},{csv_cell(t)},x;y" for p, t in rows)]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


CAPTIONS = {
    "kind": "caption_table",
    "path": ".",
    "columns": {"id": "id", "caption": "text", "audio": "audio", "artist": "artist"},
}


def test_names_that_lead_elsewhere(sandbox: Sandbox, one_piece: Path) -> None:
    """As ids, as paths of files, in a CSV and in JSON, which can say halves of characters, too."""
    names = [*HOSTILE_NAMES, "\ud800half", "\udcff"]
    for name in names[: share_of(2 * len(names))]:
        folder = sandbox.fresh()
        os.link(one_piece, folder / "a.wav")
        (folder / "metadata.csv").write_bytes(metadata([("a.wav", name), (name, "b")]))
        (folder / "t.jsonl").write_bytes(
            jsonl(
                [
                    {"id": name, "text": f"{name} is heard", "audio": "a.wav", "artist": name},
                    {"id": "b", "text": "words", "audio": name, "artist": "B"},
                ]
            )
        )
        source = f"source.path={folder}"
        sandbox.judge("bad name", f"CSV {name[:40]!r}", "build", "folder", "--set", source)
        sandbox.number += 1
        (sandbox.folder / f"in-{sandbox.number}").mkdir()
        manifest = folder / "m.yaml"
        audio = {**CAPTIONS, "files": "t.jsonl", "audio": "."}
        features = {"t": {"kind": "log_mel", "preset": "ttmr"}}
        content = {"name": "m", "source": audio, "captions": {"kind": "existing"}, "features": features}
        manifest.write_bytes(as_yaml({**content, "tags": {"min_tracks": 1}, "pairs": None}))
        sandbox.judge("bad name", f"JSON {name[:40]!r}", "build", manifest)


def table_formats(folder: Path) -> dict[str, tuple[bytes, list[str]]]:
    """Small whole files of many formats: by name, with the words of a build that reads them."""
    rows = [{"id": f"t{n}", "text": f"a calm piano {n}", "audio": f"{n}.wav", "artist": f"A{n}"} for n in range(8)]
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    text = "id,text,audio,artist\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    bad = "track_id,reason,detail\na.wav,silent,x\n"
    mtat = "clip_id\trock\tpop\tmp3_path\n" + "".join(f"{n}\t1\t0\t{n}/x-{n}.mp3\n" for n in range(8))
    info = "clip_id\ttrack_number\ttitle\tartist\talbum\turl\tsegmentStart\tsegmentEnd\toriginal_url\tmp3_path\n"
    info += "".join(f"{n}\t1\tt\tA{n}\tb\tu\t0\t29\to\t{n}/x-{n}.mp3\n" for n in range(8))
    jamendo = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    jamendo += "".join(
        f"track_000000{n}\tartist_00000{n}\talbum_00000{n}\t00/{n}.mp3\t9.0\tgenre---rock\n" for n in range(4)
    )
    for part in ("train", "validation", "test"):
        (folder / f"autotagging_top50tags-{part}.tsv").write_text(jamendo.replace("track_0", f"track_{len(part)}"))
    (folder / "clip_info_final.csv").write_text(info)
    manifests = {}
    for ending in ("csv", "jsonl", "parquet"):
        (folder / f"{ending}.yaml").write_bytes(
            as_yaml(
                {"name": "m", "source": {**CAPTIONS, "path": str(folder), "files": f"t.{ending}"}, "pairs": None}
            )
        )
        manifests[ending] = [str(folder / f"{ending}.yaml")]
    tone(folder / "music/a.wav")
    from_folder = ["--set", f"source.path={folder}"]
    return {
        "t.csv": (text.encode(), manifests["csv"]),
        "t.jsonl": (jsonl(rows), manifests["jsonl"]),
        "t.parquet": (parquet.getvalue(), manifests["parquet"]),
        "music/metadata.csv": (metadata([("a.wav", "a")]), ["folder", "--set", f"source.path={folder / 'music'}"]),
        "bad.csv": (
            bad.encode(),
            ["folder", "--set", f"source.path={folder / 'music'}", "--set", f"exclude={folder / 'bad.csv'}"],
        ),
        "annotations_final.csv": (mtat.encode(), ["magnatagatune", *from_folder]),
        "autotagging_top50tags-train.tsv": (jamendo.encode(), ["mtg_jamendo", *from_folder]),
    }


def spoil_each(
    sandbox: Sandbox, kind: str, formats: Callable[[Path], dict[str, tuple[bytes, list[str]]]], times: int
) -> None:
    draws = random.Random(kind)
    folder = sandbox.fresh()
    files = formats(folder)
    for name, (content, _) in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    for name, (_, words) in files.items():
        ran = sandbox.command(
            "build", *words, "--only", "source", "--out", sandbox.folder / f"whole-{name.replace('/', '-')}"
        )
        assert ran.code == 0, (name, ran.err)  # else nothing would be said of the damage
    for number in range(share_of(times)):
        name, (content, words) = list(files.items())[number % len(files)]
        (folder / name).write_bytes(spoilt(content, draws))
        sandbox.number += 1
        sandbox.judge(kind, f"{name} {number}", "build", *words, "--only", "source")
        (folder / name).write_bytes(content)


def test_tables(sandbox: Sandbox) -> None:
    spoil_each(sandbox, "bad table", table_formats, 56)


# Databases, HDF5, arrays and pickles of the Million Song Dataset


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


def databases(folder: Path) -> dict[str, tuple[bytes, list[str]]]:
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
    return {name: (found, million_song(folder, "labels=[lastfm]")) for name, found in content.items()}


def test_databases(sandbox: Sandbox) -> None:
    spoil_each(sandbox, "bad SQLite", databases, 30)


def frames(folder: Path) -> dict[str, tuple[bytes, list[str]]]:
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
    return {path.name: (path.read_bytes(), million_song(folder, "labels=[allmusic]"))}


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


# Media


def claims(folder: Path) -> dict[str, bytes]:
    """Small files that claim to be long, and files that are something else."""
    wav = tone(folder / "w.wav", 0.1).read_bytes()
    flac = bytearray(tone(folder / "f.flac", 3.0).read_bytes())
    ten_hours = 10 * 3600 * RATE
    # STREAMINFO: 36 bits of the number of samples end at byte 26.
    packed = int.from_bytes(flac[18:26], "big") & ~((1 << 36) - 1) | ten_hours
    flac[18:26] = packed.to_bytes(8, "big")
    mp3 = bytearray(tone(folder / "m.mp3", 3.0).read_bytes())
    ogg = bytearray(tone(folder / "o.ogg", 3.0).read_bytes())
    last = ogg.rfind(b"OggS")
    ogg[last + 6 : last + 14] = struct.pack("<q", ten_hours)
    aiff = bytearray(tone(folder / "a.aiff", 0.1).read_bytes())
    place = aiff.find(b"COMM")
    aiff[place + 10 : place + 14] = struct.pack(">I", ten_hours)
    xing = bytearray(417)
    xing[:4] = b"\xff\xfb\x90\x00"
    xing[36:52] = b"Xing\x00\x00\x00\x03" + struct.pack(">II", 1_500_000, 9000)
    box = b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42"
    stsz = struct.pack(">I4sIII", 20, b"stsz", 0, 0, 0xFFFFFFFF)
    nested = b""
    for _ in range(300):
        nested = struct.pack(">I4s", len(nested) + 8, b"moov") + nested
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 50_000, 50_000, 8, 2, 0, 0, 0)
    files = {
        "hours.wav": wav[:40] + struct.pack("<I", 2 * ten_hours) + wav[44:],
        "hours-rf64.wav": b"RF64\xff\xff\xff\xffWAVEds64"
        + struct.pack("<IQQQI", 28, 1 << 40, 1 << 40, 1 << 38, 0)
        + wav[12:],
        "hours.flac": bytes(flac),
        "hours.ogg": bytes(ogg),
        "hours.aiff": bytes(aiff),
        "hours-xing.mp3": bytes(xing) + bytes(mp3[:8000]),
        "hours.m4a": box + struct.pack(">I4s", len(stsz) + 8, b"moov") + stsz,
        "nested.m4a": box + nested,
        "tags.mp3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(mp3[:4000]),
        "tags.flac": b"fLaC\x84\xff\xff\xff" + bytes(flac[:4000]),
        "picture.mp3": png + bytes(2000),
        "picture.wav": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(2000),
        "gif.ogg": b"GIF89a\xff\xff\xff\xff" + bytes(500),
        "page.flac": b"<!DOCTYPE html><script>alert(1)</script>",
        "list.m4a": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "list.mp3": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
        "concat.wma": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "sdp.aac": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        "elf.webm": b"\x7fELF" + bytes(200),
        "matroska.mka": b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(300),
        "zip.opus": b"PK\x03\x04" + bytes(300),
        "rate.wav": wav[:24] + struct.pack("<I", 0) + wav[28:],
        "channels.wav": wav[:22] + struct.pack("<H", 65535) + wav[24:],
        "zero-block.wav": wav[:32] + struct.pack("<H", 0) + wav[34:],
        "opus.opus": b"OggS\x00\x02"
        + bytes(8)
        + struct.pack("<IIIB", 1, 0, 0, 1)
        + b"\x13OpusHead\x01\xff"
        + bytes(9),
    }
    for path in folder.iterdir():
        path.unlink()
    return files


def test_media(sandbox: Sandbox, tmp_path: Path) -> None:
    """All in one folder, beside a piece that must come through; each is excluded, or heard as far as it goes."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    files = claims(scratch)
    music = sandbox.fresh()
    chosen = dict(list(files.items())[: share_of(len(files))])
    for name, content in chosen.items():
        assert len(content) < 250_000
        (music / name).write_bytes(content)
    tone(music / "good.wav")
    words = ["build", "folder", "--set", f"source.path={music}", "--track-timeout", "60", "--only", "features"]
    ran = sandbox.command(*words, "--out", tmp_path / "data", "--workers", "2")
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    excluded = {row["id"] for row in pq.read_table(tmp_path / "data/exclusions.parquet").to_pylist()}
    shards = sorted((tmp_path / "data/features/ttmr").glob("*.parquet"))
    clips = [row for shard in shards for row in pq.read_table(shard, columns=["track_id", "frames"]).to_pylist()]
    kept = {row["track_id"] for row in clips}
    assert "good.wav" in kept
    for name in chosen:
        with sandbox.faults.plant("bad media", name) as fault:
            assert (name in excluded) != (name in kept), "lost, or both"
            if name in excluded:
                fault.refused()
            else:
                assert name.split("-")[0] not in ("picture", "list", "page", "concat", "sdp"), "it is no sound"
                fault.recovered()


# Ids of videos

IDS = (
    "--exec=touch canary",
    "--exec",
    "-o../../x",
    "--config-l",
    "http://169.254.169.254/latest",
    "file:///etc/passwd",
    "../../../x",
    "a\x00bcdefghij",
    "; touch canary",
    "$(touch canary)",
    "`touch x`",
    "abcdefghijk&list=PL",
    "abcdefghij\u202e",
    "abcdefghij/",
    "ytsearch:a",
    "x" * 4000,
    "abcdefghij%",
    "{id}",
    "............",
    "abcdefghijk?v=1",
)


def test_ids_of_videos_that_are_something_else(sandbox: Sandbox, asked: tuple[int, list[str]]) -> None:
    port, seen = asked
    url = f"http://127.0.0.1:{port}/{{id}}"
    for name in IDS[: share_of(len(IDS))]:
        folder = sandbox.fresh()
        text = f"\n# new artist:\tA\t{0:022d}\n\n{name}\n"
        (folder / "youtube_video_ids_00_206947.txt").write_bytes(text.encode())
        settings_of = (f"source.path={folder}", "videos.download=true", f"videos.url={url}")
        more = ("videos.allow_private=true", "videos.retries=0", "videos.pause_s=0")
        words = [word for setting in (*settings_of, *more) for word in ("--set", setting)]
        before = len(seen)
        sandbox.judge("bad video id", repr(name[:30]), "build", "music_videos", *words, "--only", "tags,splits")
        assert len(seen) == before, seen
