"""What a user can get wrong: one or two lines that name it and the way out, and the right exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

Command = Callable[..., Any]

MANIFEST = "name: mine\nsource: {kind: folder, path: music}\n"


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.sin(np.arange(16000 * 4) / 20).astype(np.float32) / 2, 16000)
    return folder


def refused(ran: Any, code: int, *words: str) -> None:
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    lines = [line for line in ran.err.strip().splitlines() if line]
    assert 1 <= len(lines) <= 2, ran.err
    for word in words:
        assert word in ran.err, ran.err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["splits.ratio={train: 1}"], ["splits.ratio", "unknown key", "splits.ratios", "ratios"]),
        (["spilts.seed=1"], ["spilts", "splits"]),
        (["source.pth=x"], ["source.pth", "unknown key", "path"]),
        (["features.ttmr.hop=10"], ["features.ttmr.hop", "unknown key"]),
        (["features.ttmr.preset=tmr"], ["features.ttmr.preset", "ttmr"]),
        (["features.ttmr.kind=log_mell"], ["features.ttmr.kind", "log_mel"]),
        (["source.kind=foldr"], ["source.kind", "folder"]),
        (["splits.ratios={train: 0.7, valid: 0.15, test: 0.2}"], ["splits.ratios", "1.05"]),
        (["splits.ratios={train: 1.5, test: -0.5}"], ["splits.ratios", "1.5"]),
        (["tags.min_tracks=many"], ["tags.min_tracks"]),
        (["tags.rules=nobody"], ["nobody", "msd500"]),
        (["pairs.split=tset"], ["pairs.split", "tset"]),
        (["splits.seed"], ["--set", "splits.seed"]),
        (["name.x=1"], ["name"]),
    ],
)
def test_a_wrong_manifest_key_is_named(
    tmp_path: Path, music: Path, command: Command, settings: list[str], words: list[str]
) -> None:
    pairs = [word for setting in settings for word in ("--set", setting)]
    ran = command("build", "folder", "--set", f"source.path={music}", *pairs, "--out", tmp_path / "out")
    refused(ran, 2, *words[:1])
    assert any(word in ran.err for word in words[1:]) or len(words) == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.parquet"))


def test_ratios_that_miss_one_by_a_thousandth_are_normalised(tmp_path: Path, music: Path, command: Command) -> None:
    ratios = "splits.ratios={train: 0.333, valid: 0.333, test: 0.333}"
    ran = command(
        "build", "folder", "--set", f"source.path={music}", "--set", ratios, "--out", tmp_path / "o", "--dry-run"
    )
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name: [", "YAML"),
        ("- a\n- b\n", "mapping"),
        ("name: x\nname: y\nsource: {kind: demo}\n", "twice"),
        ("name: ../x\nsource: {kind: demo}\n", "name"),
        ("source: {kind: demo}\n", "name"),
        ("name: x\n", "source"),
        ("name: x\nsource: {kind: demo}\ntags: !!python/object/apply:os.system [true]\n", "YAML"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path: Path, command: Command, text: str, word: str) -> None:
    manifest = tmp_path / "mine.yaml"
    manifest.write_text(text)
    refused(command("build", manifest, "--out", tmp_path / "out"), 2, "mine.yaml", word)


def test_an_unknown_manifest_lists_those_that_are_shipped(tmp_path: Path, command: Command) -> None:
    refused(command("build", "msd5000", "--out", tmp_path / "out"), 2, "msd5000", "demo", "folder", "mtg_jamendo")


def test_relative_paths_start_at_the_manifest(
    tmp_path: Path, music: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(MANIFEST)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("build", "../mine.yaml", "--out", "data", "--only", "source").code == 0
    assert (tmp_path / "elsewhere/data/tracks.parquet").exists()


@pytest.mark.parametrize("flag", ["--wokers=2", "--no_such_flag", "--direct_runing_mode=multi_threading"])
def test_a_flag_that_nobody_knows_is_refused(tmp_path: Path, command: Command, flag: str) -> None:
    refused(command("build", "demo", "--out", tmp_path / "out", flag), 2, flag.split("=")[0])


def test_a_directory_of_another_manifest_is_left_alone(data: Path, music: Path, command: Command) -> None:
    before = (data / "receipt.json").read_bytes()
    ran = command("build", "folder", "--set", f"source.path={music}", "--out", data)
    refused(ran, 2, "demo", "folder", str(data))
    assert (data / "receipt.json").read_bytes() == before


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path, command: Command) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    refused(command("build", "demo", "--out", tmp_path), 2, "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_no_music_is_said(tmp_path: Path, command: Command) -> None:
    (tmp_path / "empty").mkdir()
    out = ("--out", tmp_path / "out")
    refused(command("build", "folder", "--set", f"source.path={tmp_path / 'empty'}", *out), 2, "no audio")
    refused(command("build", "folder", "--set", f"source.path={tmp_path / 'none'}", *out), 2, "source.path")
    refused(command("build", "folder", *out), 2, "--set source.path=DIR")


def test_an_unknown_stage_is_named(tmp_path: Path, command: Command) -> None:
    refused(command("build", "demo", "--out", tmp_path / "out", "--only", "tgas"), 2, "tgas", "tags")


def test_an_unreachable_store_says_what_to_install(command: Command) -> None:
    refused(command("build", "demo", "--out", "nowhere://bucket/data"), 2, "nowhere://bucket/data")


@pytest.mark.parametrize("verb", ["audit", "verify", "report"])
def test_a_directory_without_a_dataset_is_said(tmp_path: Path, command: Command, verb: str) -> None:
    refused(command(verb, tmp_path), 2, "receipt.json")


@pytest.mark.parametrize("words", [["build"], ["build", "demo"], ["nonsense"], ["build", "demo", "--workers", "x"]])
def test_wrong_words_are_wrong_usage(command: Command, words: Sequence[str]) -> None:
    assert command(*words).code == 2


def test_zero_workers_are_refused(tmp_path: Path, command: Command) -> None:
    refused(command("build", "demo", "--out", tmp_path / "out", "--workers", "0"), 2, "--workers 0")


def test_features_without_sound_name_the_key(tmp_path: Path, command: Command) -> None:
    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    for number, part in enumerate(("train", "validation", "test")):
        row = f"track_000000{number}\tartist_00000{number}\talbum_000001\t00/{number}.mp3\t100.0\tgenre---rock\n"
        (tmp_path / f"autotagging_top50tags-{part}.tsv").write_text(header + row)
    ran = command("build", "mtg_jamendo", "--set", f"source.path={tmp_path}", "--out", tmp_path / "out")
    refused(ran, 2, "source.audio", "features.ttmr") if ran.code else pytest.fail("built features without sound")


def test_a_runner_that_beam_does_not_know_is_named(tmp_path: Path, command: Command) -> None:
    ran = command("build", "demo", "--out", tmp_path / "out", "--runner", "FlnkRunner", "--dry-run")
    refused(ran, 2, "FlnkRunner", "FlinkRunner")


def test_tables_that_are_not_ours_are_left_alone(tmp_path: Path, command: Command) -> None:
    (tmp_path / "labels.parquet").write_bytes(b"mine")
    (tmp_path / "README.md").write_text("mine")
    refused(command("build", "demo", "--out", tmp_path), 2, "README.md", "labels.parquet")
    assert (tmp_path / "labels.parquet").read_bytes() == b"mine"


def test_a_file_as_output_is_refused(tmp_path: Path, command: Command) -> None:
    (tmp_path / "file").write_text("x")
    refused(command("build", "demo", "--out", tmp_path / "file", "--dry-run"), 2, "is a file")


def test_a_manifests_own_path_starts_at_the_manifest_whatever_else_is_set(
    tmp_path: Path, music: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(MANIFEST)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    words = ["--out", "data", "--only", "source", "--set", "source.keep_duplicates=true"]
    assert command("build", "../mine.yaml", *words).code == 0


@pytest.mark.parametrize("name", ["student", "none", "extra"])
def test_split_names_with_a_meaning_are_refused(tmp_path: Path, command: Command, name: str) -> None:
    ratios = f"splits.ratios={{train: 0.5, {name}: 0.5}}"
    refused(command("build", "demo", "--out", tmp_path / "out", "--set", ratios), 2, "splits.ratios", name)


def test_a_split_is_not_written_over_its_table(tmp_path: Path, command: Command) -> None:
    (tmp_path / "t.csv").write_text("id,artist,tags\na,x,r\nb,y,r\n")
    words = ["--id", "id", "--group", "artist", "--labels", "tags", "--label-separator", "|", "--ratio", "a=1"]
    assert command("split", tmp_path / "t.csv", "--out", tmp_path / "t.parquet", *words).code == 0
    refused(
        command("split", tmp_path / "t.parquet", "--out", tmp_path / "t.parquet", *words), 2, "is the table itself"
    )


def test_dataflow_is_not_given_a_folder_of_this_machine(tmp_path: Path, command: Command) -> None:
    ran = command("build", "demo", "--out", tmp_path / "out", "--runner", "DataflowRunner", "--dry-run")
    refused(ran, 2, "DataflowRunner"[:8], "gs://")
