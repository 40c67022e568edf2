"""Lists of known-bad tracks: what one dataset excluded, another leaves out, for the same reasons."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

Command = Callable[..., Any]
NAMES = ("a/one.flac", "b/two, with a comma.flac", 'c/"three"\nlines.flac', "д/四.flac", "e/five.flac")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True)
        t = np.arange(16_000 * 4) / 16_000
        # The last is silent.
        sound = 0.5 * (number < 4) * np.sin(2 * np.pi * (200 + 30 * number) * t)
        soundfile.write(path, sound.astype(np.float32), 16_000)
    return tmp_path / "music"


def build(command: Command, music: Path, out: Path, *more: str | Path) -> Any:
    return command("build", "folder", "--set", f"source.path={music}", "--out", out, "--workers", "1", *more)


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / "exclusions.parquet").to_pylist()
    return found


def tracks(out: Path) -> set[str]:
    return set(pq.read_table(out / "tracks.parquet")["track_id"].to_pylist())


def notes(out: Path) -> list[str]:
    found: list[str] = json.loads((out / "receipt.json").read_text())["stages"]["source"]["notes"]
    return found


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_list_goes_round(command: Command, music: Path, tmp_path: Path, suffix: str) -> None:
    assert build(command, music, tmp_path / "first").code == 0
    listed = tmp_path / f"bad.{suffix}"
    ran = command("exclusions", tmp_path / "first", "--out", listed, "--stage", "features")
    assert ran.code == 0 and "1 rows written" in ran.out
    again = build(command, music, tmp_path / "second", "--set", f"exclude={listed}")
    assert again.code == 0, again.err
    assert tracks(tmp_path / "second") == tracks(tmp_path / "first") - {NAMES[4]}
    (first,) = [row for row in rows(tmp_path / "first") if row["stage"] == "features.ttmr"]
    (second,) = rows(tmp_path / "second")
    assert second == {**first, "stage": "source"}
    assert (second["id"], second["reason"]) == (NAMES[4], "silent")
    # What the second excluded is the same list.
    assert command("exclusions", tmp_path / "second", "--out", tmp_path / f"again.{suffix}").code == 0
    assert (tmp_path / f"again.{suffix}").read_bytes() == listed.read_bytes()


def listed(path: Path, *cells: tuple[str, ...], header: tuple[str, ...] = ("track_id",)) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *cells])
    return path


def test_any_id_is_taken_out_of_every_table_and_misses_are_told(
    command: Command, music: Path, tmp_path: Path
) -> None:
    (music / "metadata.csv").write_text("path,tags\na/one.flac,rock\ne/five.flac,jazz\n")
    bad = listed(tmp_path / "bad.csv", *[(name,) for name in NAMES[:4]], ("z",), ("y",), ("z",))
    ran = build(command, music, tmp_path / "out", "--only", "source", "--set", f"exclude={bad}")
    assert ran.code == 0, ran.err
    assert tracks(tmp_path / "out") == {NAMES[4]}
    assert set(pq.read_table(tmp_path / "out/annotations.parquet")["track_id"].to_pylist()) == {NAMES[4]}
    assert {(row["id"], row["stage"], row["reason"]) for row in rows(tmp_path / "out")} == {
        (name, "source", "known_bad") for name in NAMES[:4]
    }
    assert "4 tracks left that the list of known-bad tracks names" in notes(tmp_path / "out")
    assert "2 ids of the list of known-bad tracks match no track: y, z" in notes(tmp_path / "out")


def test_a_list_beside_the_manifest_enters_by_its_content_alone(
    command: Command, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "mine.yaml").write_text("name: mine\nsource: {kind: folder}\nexclude: lists/bad.csv\n")
    (manifests / "lists").mkdir()
    bad = listed(manifests / "lists/bad.csv", (NAMES[0], "", "scratched"), header=("track_id", "reason", "detail"))
    words = ("--set", f"source.path={music}", "--only", "source", "--out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    assert command("build", "manifests/mine.yaml", *words).code == 0
    (row,) = rows(tmp_path / "out")
    assert (row["id"], row["reason"], row["detail"]) == (NAMES[0], "known_bad", "scratched")
    moved = bad.rename(tmp_path / "moved.csv")
    stands = command("build", "manifests/mine.yaml", *words, "--set", "exclude=moved.csv")
    assert stands.code == 0 and "nothing to do" in stands.out, stands.out + stands.err
    listed(moved, (NAMES[1],))
    changed = command("build", "manifests/mine.yaml", *words, "--set", "exclude=moved.csv")
    assert changed.code == 0 and "nothing to do" not in changed.out
    assert [row["id"] for row in rows(tmp_path / "out")] == [NAMES[1]]
    without = command("build", "manifests/mine.yaml", *words, "--set", "exclude=null")
    assert without.code == 0 and rows(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("bad.csv", b"track_id,reason\na,silent\nb,scilent\n", ["row 3", "'scilent' is no reason", "'silent'"]),
        ("bad.csv", b"track_id,reason\na,silent\n,silent\n", ["row 3", "no track_id"]),
        ("bad.csv", b"id,reason\na,silent\n", ["no column 'track_id'", "id, reason"]),
        ("bad.csv", b"track_id,reason\na\n", ["cannot be read"]),
        ("bad.csv", b"track_id\n\xff\xfe\n", ["cannot be read"]),
        ("bad.csv", b"", ["cannot be read"]),
        ("bad.parquet", b"PAR1 and no more", ["cannot be read"]),
        ("bad.txt", b"a\n", [".csv or .parquet"]),
        (None, b"", ["no such file"]),
    ],
)
def test_a_list_that_is_wrong_names_its_row(
    command: Command, music: Path, tmp_path: Path, name: str | None, content: bytes, told: list[str]
) -> None:
    path = tmp_path / (name or "gone.csv")
    if name:
        path.write_bytes(content)
    ran = build(command, music, tmp_path / "out", "--only", "source", "--set", f"exclude={path}")
    assert ran.code == 2, ran.err
    assert len(ran.err.strip().splitlines()) == 1 and f"exclude: {path}" in ran.err
    assert all(words in ran.err for words in told), ran.err


def test_numbers_are_ids_and_a_table_of_other_things_is_refused(
    command: Command, music: Path, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"track_id": pa.array([17, 18])}), tmp_path / "numbers.parquet")
    words = ("--only", "source", "--set")
    assert build(command, music, tmp_path / "out", *words, f"exclude={tmp_path / 'numbers.parquet'}").code == 0
    assert "2 ids of the list of known-bad tracks match no track: 17, 18" in notes(tmp_path / "out")
    pq.write_table(pa.table({"track_id": pa.array([[1], [2]])}), tmp_path / "lists.parquet")
    ran = build(command, music, tmp_path / "out", *words, f"exclude={tmp_path / 'lists.parquet'}")
    assert ran.code == 2 and "column 'track_id' holds list" in ran.err


def test_what_is_listed_is_chosen_by_stage_and_reason(command: Command, data: Path, tmp_path: Path) -> None:
    def chosen(*words: str) -> set[str]:
        assert command("exclusions", data, "--out", tmp_path / "some.csv", *words).code == 0
        with (tmp_path / "some.csv").open(newline="", encoding="utf-8") as stream:
            return {row["reason"] for row in csv.DictReader(stream)}

    assert chosen() == {"silent", "too_short", "truncated", "duplicate_recording", "not_audio"}
    assert chosen("--stage", "source") == {"duplicate_recording", "not_audio"}
    assert chosen("--stage", "features", "--reason", "silent,too_short") == {"silent", "too_short"}
    assert chosen("--reason", "clipped") == set()
    for words, told in [
        (("--reason", "scilent"), "'silent'"),
        (("--stage", "fetures"), "features.ttmr"),
    ]:
        ran = command("exclusions", data, "--out", tmp_path / "some.csv", *words)
        assert ran.code == 2 and told in ran.err
    refused = command("exclusions", data, "--out", tmp_path / "some.txt")
    assert refused.code == 2 and ".csv" in refused.err
    assert command("exclusions", tmp_path, "--out", tmp_path / "some.csv").code == 2


def test_a_second_track_of_an_id_does_not_take_the_first_out(command: Command, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for number in range(3):
        soundfile.write(music / f"{number}.wav", np.sin(np.arange(64_000) * (0.01 + number / 100)), 16_000)
    (music / "metadata.csv").write_text("path,track_id,artist\n0.wav,X,a\n1.wav,X,b\n2.wav,Y,c\n", "utf-8")
    words = ("build", "folder", "--only", "source", "--set", f"source.path={music}")
    assert command(*words, "--out", tmp_path / "first").code == 0
    assert command("exclusions", tmp_path / "first", "--out", tmp_path / "bad.csv").code == 0
    again = command(*words, "--set", f"exclude={tmp_path / 'bad.csv'}", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    tracks = pq.read_table(tmp_path / "again/tracks.parquet").column("track_id").to_pylist()
    assert sorted(tracks) == ["X", "Y"]
    asked = command("exclusions", tmp_path / "first", "--reason", "duplicate_id", "--out", tmp_path / "bad.csv")
    assert asked.code == 0 and "X,duplicate_id" in (tmp_path / "bad.csv").read_text().replace('"', "")
