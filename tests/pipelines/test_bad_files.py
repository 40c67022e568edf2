"""A folder of everything that is wrong with files, through `tracklore build folder`: each said once, precisely."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import soundfile

import tracklore
from pipelines import task_runner
from pipelines.sources import probe

RATE = 16_000
Command = Callable[..., Any]

# Names in every script, and some that are awkward to a shell, a URL or a table.
NAMES = (
    "Кино/Группа крови.flac",
    "坂本龍一/戦場のメリークリスマス.flac",
    "أم كلثوم/إنت عمري.flac",
    "Sigur Ro\u0301s/Hoppi\u0301polla.flac",  # accents as characters of their own
    "🎷/🎶🎵.flac",
    "two\nlines/and\ttabs.flac",
    "-rf/--help.flac",
    "%2e%2e/a?b#c&d;e|f*g'h\"i`$(j).flac",
    " spaces /  at both ends .flac",
    "long/" + "x" * 250 + ".flac",
    "CAPITALS/NAME.FLAC",
)


def tone(number: int, seconds: float = 4.0, amplitude: float = 0.5) -> npt.NDArray[np.float32]:
    t = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * (110.0 + 7 * number) * t)).astype(np.float32)


def play(path: Path, sound: npt.NDArray[np.float32], kind: str = "FLAC", subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, RATE, format=kind, subtype=subtype)
    return path


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def fill(music: Path) -> None:
    for number, name in enumerate(NAMES):
        play(music / name, tone(number))
    for number, (name, kind) in enumerate({"flac.mp3": "FLAC", "mp3.wav": "MP3", "wav.flac": "WAV"}.items()):
        play(music / "misnamed" / name, tone(30 + number), kind)
    bad = music / "bad"
    bad.mkdir()
    (bad / "picture.mp3").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    (bad / "page.flac").write_bytes(b"<!DOCTYPE html><html><body>404 Not Found</body></html>")
    (bad / "pointer.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    (bad / "random.ogg").write_bytes(np.random.default_rng(0).bytes(5000))
    (bad / "empty.mp3").write_bytes(b"")
    (bad / "zeros.wav").write_bytes(bytes(4000))
    cut(play(bad / "cut.flac", tone(50, 10.0)), 0.5)
    cut(play(bad / "cut.wav", tone(51, 10.0), "WAV"), 0.5)
    cut(play(bad / "cut.mp3", tone(52, 10.0), "MP3"), 0.5)
    cut(play(bad / "cut.ogg", tone(53, 10.0) + noise(10.0), "OGG"), 0.5)
    play(bad / "short.flac", tone(54, 1.25))
    play(bad / "silent.flac", tone(55, 4.0, 0.0))
    play(bad / "faint.wav", tone(56, 4.0, 1e-4), "WAV", "FLOAT")
    play(bad / "clipped.flac", np.clip(tone(57, 4.0, 100.0), -1, 1))
    play(bad / "loud.flac", np.clip(tone(58, 4.0, 1.1), -1, 1))  # clipped, and music yet
    spoilt = tone(59)
    spoilt[[100, 200]] = np.nan, np.inf
    play(bad / "nan.wav", spoilt, "WAV", "FLOAT")
    shutil.copyfile(play(bad / "twin-b.flac", tone(60, 10.0)), bad / "twin-a.flac")
    cut(bad / "twin-a.flac", 0.5)
    outside = play(music.parent / "outside.flac", tone(61))
    (bad / "outside.flac").symlink_to(outside)
    (bad / "loop.flac").symlink_to(bad / "loop.flac")
    (bad / "nowhere.flac").symlink_to(music / "nothing.flac")
    (bad / "folder.mp3").mkdir()
    os.mkfifo(bad / "pipe.mp3")
    play(bad / "latin1.flac", tone(62)).rename(bad / os.fsdecode(b"latin1-\xe9.flac"))


def noise(seconds: float) -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@dataclass(frozen=True)
class Built:
    exclusions: list[dict[str, Any]]
    kept: set[str]
    tracks: set[str]
    said: str


def built_from(data: Path, said: str) -> Built:
    shards = sorted((data / "features/ttmr").glob("*.parquet"))
    return Built(
        pq.read_table(data / "exclusions.parquet").to_pylist(),
        {track for shard in shards for track in pq.read_table(shard, columns=["track_id"])["track_id"].to_pylist()},
        set(pq.read_table(data / "tracks.parquet")["track_id"].to_pylist()),
        said,
    )


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("bad files")
    fill(folder / "music")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    words = ["--set", f"source.path={folder / 'music'}", "--out", str(folder / "data"), "--workers", "2"]
    with pytest.raises(SystemExit) as ended:
        tracklore.main(["build", "folder", *words])
    patch.undo()
    assert not ended.value.code
    notes = (folder / "data/receipt.json").read_text()
    yield built_from(folder / "data", notes)


EXPECTED = {
    "picture.mp3": ("source", "not_audio", ["PNG image"]),
    "page.flac": ("source", "not_audio", ["HTML page"]),
    "pointer.wav": ("source", "not_audio", ["Git LFS pointer"]),
    "random.ogg": ("source", "not_audio", ["no known kind of file"]),
    "empty.mp3": ("source", "not_audio", ["zero bytes"]),
    "zeros.wav": ("source", "not_audio", ["zeros only"]),
    "cut.flac": ("features.ttmr", "truncated", ["s could be read of 10.00 s"]),
    "cut.wav": ("features.ttmr", "truncated", ["5.00 s could be read of 10.00 s"]),
    "cut.mp3": ("features.ttmr", "truncated", ["s could be read of 10.0"]),
    "cut.ogg": ("features.ttmr", "truncated", ["s could be read", "in the middle of a page"]),
    "short.flac": ("features.ttmr", "too_short", ["1.25 s", "3 s are needed"]),
    "silent.flac": ("features.ttmr", "silent", ["-70 dB"]),
    "faint.wav": ("features.ttmr", "silent", ["-70 dB"]),
    "clipped.flac": ("features.ttmr", "clipped", ["% of the samples", "50.0%"]),
    "nan.wav": ("features.ttmr", "not_finite", ["2 of 64000 samples"]),
    "twin-a.flac": ("source", "duplicate_recording", ["bad/twin-b.flac", "cut off"]),
    "outside.flac": ("source", "outside_source", ["leads out of the source's folder"]),
    "loop.flac": ("source", "unreadable", [os.strerror(40)]),
    "pipe.mp3": ("source", "unreadable", ["a pipe, socket or device"]),
    "nowhere.flac": ("source", "missing_file", ["a link to nothing"]),
    "latin1-\\udce9.flac": ("source", "unreadable", ["not UTF-8", "rename it"]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_wrong_is_said_once_and_precisely(everything: Built, name: str) -> None:
    found = [row for row in everything.exclusions if row["id"] == f"bad/{name}"]
    assert len(found) == 1, found
    at, reason, words = EXPECTED[name]
    assert (found[0]["stage"], found[0]["reason"]) == (at, reason), found
    assert all(word in found[0]["detail"] for word in words), found
    assert "\n" not in found[0]["detail"]


def test_nothing_else_leaves_and_the_rest_is_in_shards(everything: Built) -> None:
    assert {row["id"] for row in everything.exclusions} == {f"bad/{name}" for name in EXPECTED}
    good = {
        *NAMES,
        "bad/loud.flac",
        "bad/twin-b.flac",
        *(f"misnamed/{n}" for n in ("flac.mp3", "mp3.wav", "wav.flac")),
    }
    assert everything.kept == good
    at_features = {f"bad/{name}" for name, (at, _, _) in EXPECTED.items() if at != "source"}
    assert everything.tracks == good | at_features


def test_wrong_extensions_are_told_with_what_the_files_are(everything: Built) -> None:
    assert (
        "3 files are read as what they are, not as what their names say: "
        "misnamed/flac.mp3 is FLAC, misnamed/mp3.wav is MP3, misnamed/wav.flac is WAV"
    ) in everything.said


def built(command: Command, tmp_path: Path, *more: str) -> Built:
    words = ("--set", f"source.path={tmp_path / 'music'}", "--out", tmp_path / "data", "--only", "features")
    ran = command("build", "folder", *words, *more)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    return built_from(tmp_path / "data", ran.err)


@pytest.mark.parametrize("put", ["nothing", "a folder", "another file"])
def test_a_file_that_vanishes_in_mid_run_costs_itself(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: str
) -> None:
    for name in ("gone", "stays"):
        play(tmp_path / f"music/{name}.flac", tone(len(name)))

    def run_tasks(*given: Any) -> Any:
        (tmp_path / "music/gone.flac").unlink()
        if put == "a folder":
            (tmp_path / "music/gone.flac").mkdir()
        elif put == "another file":
            (tmp_path / "music/gone.flac").write_text("not what was probed")
        return real(*given)

    real = task_runner.run_tasks
    monkeypatch.setattr("pipelines.features.stage.run_tasks", run_tasks)
    found = built(command, tmp_path)
    assert found.kept == {"stays.flac"}
    row = found.exclusions[0]
    reason = {"nothing": "missing_file", "a folder": "unreadable", "another file": "not_audio"}[put]
    assert (row["id"], row["stage"], row["reason"]) == ("gone.flac", "features.ttmr", reason)
    told = {"nothing": "it was when the source was read", "a folder": os.strerror(21), "another file": "text"}[put]
    assert told in row["detail"]


def test_the_limit_of_clipping_is_a_setting(command: Command, tmp_path: Path) -> None:
    play(tmp_path / "music/clipped.flac", np.clip(tone(1, 4.0, 100.0), -1, 1))
    play(tmp_path / "music/loud.flac", np.clip(tone(2, 4.0, 1.1), -1, 1))
    play(tmp_path / "music/clean.flac", tone(3))
    strict = built(command, tmp_path, "--set", "features.ttmr.max_clipped=0.01")
    assert {row["id"]: row["reason"] for row in strict.exclusions} == {
        "clipped.flac": "clipped",
        "loud.flac": "clipped",
    }
    lax = built(command, tmp_path, "--set", "features.ttmr.max_clipped=null")
    assert lax.exclusions == [] and len(lax.kept) == 3


def test_the_whole_copy_of_a_flac_is_kept_whichever_comes_first(command: Command, tmp_path: Path) -> None:
    for whole, part in (("a", "b"), ("y", "x")):
        shutil.copyfile(
            play(tmp_path / f"music/{whole}.flac", tone(ord(whole), 8.0)), tmp_path / f"music/{part}.flac"
        )
        cut(tmp_path / f"music/{part}.flac", 0.7)
    found = built(command, tmp_path)
    assert found.kept == {"a.flac", "y.flac"}
    assert {(row["id"], row["reason"]) for row in found.exclusions} == {
        ("b.flac", "duplicate_recording"),
        ("x.flac", "duplicate_recording"),
    }


def test_tags_that_take_for_ever_cost_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    for number, name in enumerate(("one.flac", "endless.flac", "two.flac")):
        play(tmp_path / "music" / name, tone(number))
    read = probe._read_tags

    def endless(stream: Any, path: str, *more: Any) -> Any:
        if "endless" in path:
            threading.Event().wait(60)
        return read(stream, path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(probe, "_read_tags", endless)
        patch.setattr(probe, "TAGS_S", 0.5)
        words = ("--set", f"source.path={tmp_path / 'music'}", "--out", tmp_path / "data", "--only", "tags,splits")
        assert command("build", "folder", *words).code == 0
    (row,) = pq.read_table(tmp_path / "data/exclusions.parquet").to_pylist()
    assert (row["id"], row["stage"], row["reason"]) == ("endless.flac", "source", "timed_out")
    assert "0.5 s" in row["detail"]
    assert pq.read_table(tmp_path / "data/tracks.parquet").num_rows == 2
    # It is not held against the file for ever.
    assert command("build", "folder", *words).code == 0
    assert pq.read_table(tmp_path / "data/tracks.parquet").num_rows == 3
