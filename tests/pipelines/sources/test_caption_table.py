from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.progress import signs_of_life
from pipelines.sources.base import SourceContext
from pipelines.sources.caption_table import CaptionTable, CaptionTableSettings
from pipelines.sources.table_rows import cell_list
from schemas.errors import UsageError
from train.data.dataset import Dataset

Command = Callable[..., Any]
HEADER = (
    "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,is_audioset_eval"
)
MUSICCAPS = [
    """-0Gaa-bB1q4,30,40,"/m/0140xf,/m/02cjck","['low quality', 'soft female vocal', ""singer's cry"", 'sad']","""
    '"A ballad of low quality, with a ""singer\'s cry"".",4,False,True',
    """_aSdAVK7_lg,0,10,"/m/0155w","['guitar song', 'no voice', 'sad']","The guitar plays a run,\nthen a chord.","""
    "0,True,False",
    """3bYkZ9ab12Q,110,120,/m/04rlf,[],A drum solo.,9,False,False""",
]


def source(context: SourceContext, folder: Path, **keys: Any) -> CaptionTable:
    content = {"kind": "caption_table", "path": str(folder), **keys}
    return CaptionTable(CaptionTableSettings.model_validate(content), context)


def read(folder: Path, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return rows


def musiccaps(folder: Path, *more: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "musiccaps-public.csv").write_text("\n".join([HEADER, *MUSICCAPS, *more]) + "\n", "utf-8")
    return folder


def test_musiccaps_as_published(tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    ran = command("build", "musiccaps", "--set", f"source.path={musiccaps(tmp_path / 'mc')}", "--out", out,
                  "--only", "tags,splits")  # fmt: skip
    assert ran.code == 0, ran.err
    tracks = {row["track_id"]: row for row in read(out, "tracks")}
    assert set(tracks) == {"-0Gaa-bB1q4", "_aSdAVK7_lg", "3bYkZ9ab12Q"}
    ballad = tracks["-0Gaa-bB1q4"]
    assert (ballad["start_s"], ballad["end_s"], ballad["duration_s"]) == (30, 40, 10)
    assert (ballad["video_uri"], ballad["parent_id"], ballad["recording_id"]) == ("-0Gaa-bB1q4",) * 3
    assert ballad["audio_uri"] == "-0Gaa-bB1q4.wav"
    assert len({row["artist_id"] for row in tracks.values()}) == 3
    labels = {row["track_id"]: row for row in read(out, "labels")}
    assert labels["-0Gaa-bB1q4"]["tags"] == sorted(["low quality", "soft female vocal", "singer's cry", "sad"])
    assert labels["-0Gaa-bB1q4"]["caption"] == 'A ballad of low quality, with a "singer\'s cry".'
    assert labels["_aSdAVK7_lg"]["caption"] == "The guitar plays a run,\nthen a chord."
    assert labels["3bYkZ9ab12Q"]["tags"] == []
    published = {r["track_id"]: r["split"] for r in read(out, "splits") if r["scheme"] == "published"}
    assert published == {"-0Gaa-bB1q4": "test", "_aSdAVK7_lg": "train", "3bYkZ9ab12Q": "train"}
    assert "each recording is taken for an artist of its own" in (out / "receipt.json").read_text("utf-8")


def test_a_bad_row_is_excluded_by_its_line_and_the_others_stay(tmp_path: Path, command: Command) -> None:
    # The second row's sentence goes over two lines, so the first of these stands on line 6.
    bad = [
        ("4bYkZ9ab12Q,30,40,/m/x,\"['a', __import__('os')]\",A song.,4,False,True", "aspect_list .* is no list"),
        ("5bYkZ9ab12Q,30,40,/m/x,['a'],A song.,4,False", "8 cells, and the header has 9"),
        (",30,40,/m/x,['a'],A song.,4,False,True", "ytid is empty"),
        ("6bYkZ9ab12Q,30,40,/m/x,['a'],  ,4,False,True", "caption is empty"),
        ("7bYkZ9ab12Q,40,30,/m/x,['a'],A song.,4,False,True", "end_s 30 is not after start_s 40"),
        ("8bYkZ9ab12Q,soon,30,/m/x,['a'],A song.,4,False,True", "start_s 'soon' is no number from 0"),
        ("9bYkZ9ab12Q,20,30,/m/x,['a'],A song.,4,False,maybe", "is_audioset_eval is 'maybe'"),
        ("../../b,20,30,/m/x,['a'],A song.,4,False,True", "not a path inside its folder"),
        ("3bYkZ9ab12Q,20,30,/m/x,['a'],A song.,4,False,True", "musiccaps-public.csv: line 14"),
    ]
    out = tmp_path / "out"
    folder = musiccaps(tmp_path / "mc", *(line for line, _ in bad))
    ran = command("build", "musiccaps", "--set", f"source.path={folder}", "--out", out, "--only", "tags,splits")
    assert ran.code == 0, ran.err
    assert len(read(out, "tracks")) == 3
    excluded = sorted(read(out, "exclusions"), key=lambda row: (row["reason"] != "duplicate_id", len(row["id"])))
    assert [row["reason"] for row in excluded] == ["duplicate_id"] + ["invalid_row"] * 8
    details = " | ".join(sorted(row["detail"] for row in excluded))
    for number, (_, problem) in enumerate(bad[:-1], start=6):
        assert any(
            row["id"] == f"musiccaps-public.csv:{number}" and row["detail"].startswith(f"line {number}: ")
            for row in excluded
        ), number
        assert re.search(problem, details), (problem, details)
    assert excluded[0]["detail"] == "musiccaps-public.csv: line 14"


def test_bytes_that_are_no_utf8_are_one_row_s_problem(tmp_path: Path, context: SourceContext) -> None:
    (tmp_path / "t.csv").write_bytes(b"id,caption\n1,calm\n2,\xff\xfe\n3,dark\n")
    tables = source(context, tmp_path, files="t.csv", columns={"id": "id", "caption": "caption"}).read()
    assert tables.tracks.column("track_id").to_pylist() == ["1", "3"]
    assert [(r["id"], r["detail"]) for r in tables.exclusions.to_pylist()] == [("t.csv:3", "line 3: is not UTF-8")]


def lp(folder: Path, split: str, rows: list[dict[str, Any]], part: str = "00000-of-00001-7f4171b43c96395e") -> None:
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("track_id", "title", "artist_name", "release")),
            ("year", pa.int64()),
            ("tag", pa.list_(pa.string())),
            *((f"caption_{kind}", pa.string()) for kind in ("writing", "summary", "paraphrase")),
            ("caption_attribute_prediction", pa.string()),
            ("pseudo_attribute", pa.list_(pa.string())),
            ("path", pa.string()),
        ]
    )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"data/{split}-{part}.parquet")


def lp_row(number: int, artist: str) -> dict[str, Any]:
    track = f"TR{number:016d}"
    said = {f"caption_{kind}": f"{kind} {number}" for kind in ("writing", "summary", "paraphrase")}
    return {"track_id": track, "title": f"Song {number}", "artist_name": artist, "release": "Album",
            "year": 1994 if number % 2 else 0, "tag": ["hip hop", f"tag {number % 3}"], **said,
            "caption_attribute_prediction": "made up", "pseudo_attribute": ["x"],
            "path": f"a/{track}.npy"}  # fmt: skip


@pytest.mark.parametrize(("holds", "seconds"), [("clip", 10), ("parent", 130)])
def test_a_clips_sound_is_read_from_its_own_file_or_out_of_its_parents(
    holds: str, seconds: int, tmp_path: Path, command: Command
) -> None:
    """Each second has a tone of its own, so the feature tells which seconds it was made of."""
    folder, sound, out = musiccaps(tmp_path / "mc"), tmp_path / "wav", tmp_path / "out"
    sound.mkdir()
    times = np.arange(16_000 * seconds) / 16_000
    for track in ("-0Gaa-bB1q4", "_aSdAVK7_lg", "3bYkZ9ab12Q"):
        soundfile.write(sound / f"{track}.wav", 0.5 * np.sin(2 * np.pi * times * (300 + 40 * (times // 1))), 16_000)
    words = ("build", "musiccaps", "--set", f"source.path={folder}", "--set", f"source.audio={sound}")
    more = ("--set", f"source.audio_holds={holds}", "--set", "features={sound: {kind: waveform, segments: {}}}")
    ran = command(*words, *more, "--out", out)
    assert ran.code == 0, ran.err
    reader = Dataset(str(out)).reader("sound")
    for track, start in (("-0Gaa-bB1q4", 30), ("_aSdAVK7_lg", 0), ("3bYkZ9ab12Q", 110)):
        (clip,) = reader.clips[track]
        first = start if holds == "parent" else 0
        assert (clip.start_s, clip.frames) == (first, 160_000)
        spectrum = np.abs(np.fft.rfft(reader.clip(clip)[:16_000].astype(float)))
        assert int(spectrum.argmax()) == 300 + 40 * first
    assert command("verify", out, "--deep").code == 0


def test_lp_musiccaps_as_published(tmp_path: Path, command: Command) -> None:
    folder, out = tmp_path / "lp", tmp_path / "out"
    lp(folder, "train", [lp_row(n, f"Artist {n % 7}") for n in range(20)], "00000-of-00002-557f11f5f8c72ffa")
    lp(folder, "train", [lp_row(n, f"Artist {n % 7}") for n in range(20, 40)], "00001-of-00002-841359b23dd9a178")
    lp(folder, "valid", [lp_row(n, f"Artist {n % 7}") for n in range(40, 44)])
    bare = {**lp_row(48, "Artist 1"), "caption_summary": None, "caption_paraphrase": ""}
    lp(folder, "test", [*(lp_row(n, f"artist {n % 7}") for n in range(44, 48)), bare])
    args = ("build", "lp_musiccaps", "--set", f"source.path={folder}", "--out", out, "--only", "tags,splits")
    ran = command(*args)
    assert ran.code == 0, ran.err
    tracks = {row["track_id"]: row for row in read(out, "tracks")}
    assert len(tracks) == 49
    assert len({row["artist_id"] for row in tracks.values()}) == 7
    assert (tracks["TR0000000000000001"]["year"], tracks["TR0000000000000002"]["year"]) == (1994, None)
    said = read(out, "captions")
    assert len(said) == 48 * 3 + 1
    assert "caption_attribute_prediction" not in {row["source"] for row in said}
    labels = {row["track_id"]: row for row in read(out, "labels")}
    kinds = {row["caption"].split()[0] for row in labels.values()}
    assert kinds == {"writing", "summary", "paraphrase"}
    assert labels["TR0000000000000048"]["caption"] == "writing 48"
    splits = read(out, "splits")
    counts = [
        sum(row["scheme"] == "published" and row["split"] == split for row in splits)
        for split in ("train", "valid", "test")
    ]
    assert counts == [40, 4, 5]
    before = (out / "labels.parquet").read_bytes()
    assert command(*args, "--set", "captions.seed=1").code == 0
    assert (out / "labels.parquet").read_bytes() != before


def library(folder: Path, rows: list[list[str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["track_id", "artist", "title", "path", "caption"], *rows])
    return folder


def test_a_production_library_with_and_without_mulap_s_filter(tmp_path: Path, command: Command) -> None:
    rows = [[f"t{n:03d}", f"Artist {n % 12}", f"Title {n}", f"a/{n}.mp3", "A calm piano piece"] for n in range(100)]
    rows[3][4] = "Calm piano"
    rows[4][4] = " ".join(["word"] * 16)
    rows[5][4] = "Alternative mix version"
    rows[6][4] = ""
    rows[7][1] = ""
    rows[8][4] = "a PIANO piece, calm"
    folder, out = library(tmp_path / "lib", rows), tmp_path / "out"
    args = [
        "build",
        "production_music",
        "--set",
        f"source.path={folder}",
        "--out",
        str(out),
        "--only",
        "tags,splits",
    ]
    ran = command(*args)
    assert ran.code == 0, ran.err
    assert not read(out, "dropped_captions")
    assert all(row["caption"] for row in read(out, "labels"))
    assert [(r["id"], r["detail"]) for r in read(out, "exclusions")] == [
        ("captions.csv:8", "line 8: caption is empty")
    ]
    random = [r["split"] for r in read(out, "splits") if r["scheme"] == "published"]
    assert [random.count(split) for split in ("train", "valid", "test")] == [79, 10, 10]
    tracks = {row["track_id"]: row for row in read(out, "tracks")}
    assert tracks["t007"]["artist_id"] == "unknown-artist"
    assert tracks["t000"]["audio_uri"] == "a/0.mp3"
    receipt = json.loads((out / "receipt.json").read_text("utf-8"))
    # 99 rows: five texts, of which one has the words of another.
    (note,) = (n for n in receipt["stages"]["tags"]["notes"] if "distinct" in n)
    assert note.startswith(
        "99 captions, 5 of them distinct: 94 repeat another word for word, and 1 of the distinct"
    )

    assert command(*args, "--set", "captions.noise=mulap").code == 0
    dropped = {row["track_id"]: (row["reason"], row["detail"]) for row in read(out, "dropped_captions")}
    assert dropped["t003"] == ("caption_too_short", "2 words")
    assert dropped["t004"] == ("caption_too_long", "16 words")
    assert dropped["t005"][0] == "caption_noise"
    assert set(dropped) == {"t003", "t004", "t005"}
    labels = {row["track_id"]: row["caption"] for row in read(out, "labels")}
    assert {track for track, text in labels.items() if text is None} == {"t003", "t004", "t005"}
    receipt = json.loads((out / "receipt.json").read_text("utf-8"))
    steps = {step["step"]: step["annotations"] for step in receipt["stages"]["tags"]["funnel"]}
    assert steps["with sentences of the source"] == 99
    assert steps["sentences of 3 to 15 words that pass mulap"] == 96

    more = ("--set", "captions.noise=mulap", "--set", "captions.max_words=16", "--set", "captions.fallback=title")
    assert command(*args, *more).code == 0
    labels = {row["track_id"]: row["caption"] for row in read(out, "labels")}
    assert (labels["t003"], labels["t004"]) == ("Title 3", rows[4][4])
    assert command(*args, "--set", "captions.kind=joined").code == 0
    assert not (out / "dropped_captions.parquet").exists()
    assert command("verify", out).code == 0


def test_json_lines_packed_or_not_read_alike(tmp_path: Path, context: SourceContext) -> None:
    rows = [
        {"id": 1, "text": "calm", "tags": ["a", "b", "a"], "split": "validation"},
        {"id": "2", "text": "dark", "tags": [], "split": "test", "year": 1999.0},
    ]
    lines = "\n".join([json.dumps(rows[0]), "", "{not json", "[1]", json.dumps(rows[1])]) + "\n"
    (tmp_path / "t.jsonl").write_text(lines, "utf-8")
    (tmp_path / "gz").mkdir()
    (tmp_path / "gz/t.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    columns = {"id": "id", "caption": "text", "tags": "tags", "split": "split"}
    plain = source(context, tmp_path, files="t.jsonl", columns=columns).read()
    packed = source(context, tmp_path / "gz", files="t.jsonl", columns=columns).read()
    assert plain.tracks.equals(packed.tracks)
    assert plain.annotations.column("raw_tag").to_pylist() == ["a", "b"]
    assert plain.published is not None
    assert plain.published.column("split").to_pylist() == ["valid", "test"]
    assert [row["id"] for row in plain.exclusions.to_pylist()] == ["t.jsonl:3", "t.jsonl:4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"id,text\n1,calm\n", r"t\.csv: line 1: no column 'caption'; it has id, text"),
        ("t.csv", b"", r"t\.csv: line 1: no column 'caption', 'id'"),
        ("t.jsonl", b"<html>\n", r"t\.jsonl: no line of it is a JSON object"),
        ("t.parquet", b"PAR", r"t\.parquet: is no Parquet file"),
        ("t.csv.gz", b"id,caption\n", r"t\.csv\.gz: cannot be read"),
    ],
)
def test_a_file_of_another_format_is_named(
    name: str, content: bytes, message: str, tmp_path: Path, context: SourceContext
) -> None:
    (tmp_path / name).write_bytes(content)
    found = source(context, tmp_path, files=name, columns={"id": "id", "caption": "caption"})
    with pytest.raises(UsageError, match=message):
        found.read()


def test_what_the_manifest_says_wrong_is_named(tmp_path: Path, command: Command) -> None:
    folder = library(tmp_path / "lib", [["1", "a", "b", "c.mp3", "d"]])

    def said(*settings: str) -> str:
        words = [word for setting in settings for word in ("--set", setting)]
        ran = command(
            "build", "production_music", "--set", f"source.path={folder}", *words, "--out", tmp_path / "o"
        )
        assert ran.code == 2
        return " ".join(ran.err.split())

    assert "has no other.csv" in said("source.files=other.csv")
    assert "has no data/*.csv" in said("source.files=data/*.csv")
    assert "the name must end in one of .csv, .tsv, .jsonl, .parquet" in said("source.files=captions.xlsx")
    assert "source.columns.captoin: unknown key" in said("source.columns={id: track_id, captoin: caption}")
    assert "the ratios sum to 0.9" in said("source.random={train: 0.8, test: 0.1}")
    assert "'fit' is none of the splits" in said("source.splits={a: fit}")


@pytest.mark.parametrize(
    ("cell", "separator", "expected"),
    [
        ("['a', \"b's\", 'c']", None, ["a", "b's", "c"]),
        ('["a", "b"]', None, ["a", "b"]),
        ("", None, []),
        ("[]", None, []),
        (["a", None, " b "], None, ["a", "b"]),
        ("a; b;;a", ";", ["a", "b"]),
        ("['a']", ";", ["['a']"]),
    ],
)
def test_lists_in_cells(cell: Any, separator: str | None, expected: list[str]) -> None:
    assert cell_list(cell, separator) == expected


@pytest.mark.parametrize("cell", ["open('x')", "['a', b]", "{'a': 1}", "[['a']]", "(" * 5000, 3, "'a'", "['a'"])
def test_what_is_no_list_is_refused_and_never_run(cell: Any) -> None:
    with pytest.raises(ValueError, match=r"no list|not a list|not text"):
        cell_list(cell, None)


def test_a_table_of_which_nothing_can_be_read_says_why(tmp_path: Path, command: Any) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "captions.csv").write_bytes(
        "track_id,artist,title,path,caption\nt1,Beyoncé,x,1.mp3,words\n".encode("latin-1")
    )
    args = ["build", "production_music", "--set", f"source.path={folder}", "--out", tmp_path / "out"]
    ran = command(*args, "--only", "tags,splits")
    assert ran.code in (1, 2)
    assert len(ran.err.splitlines()[-1:]) == 1 and "captions.csv" in ran.err.splitlines()[-1]
    assert "exclusions.parquet" not in ran.err


def test_a_quote_that_nobody_closes_is_told_with_all_that_it_takes(tmp_path: Path, context: SourceContext) -> None:
    """In the last cell it would take the rest of the file, and the row would have as many cells as the header."""
    (tmp_path / "t.csv").write_text('id,text\nt0,"two\nlines"\nt1,"the rest\nt2,lost\nt3,lost\n')
    found = source(context, tmp_path, files="t.csv", columns={"id": "id", "caption": "text"}).read()
    assert found.tracks.column("track_id").to_pylist() == ["t0"]
    (left,) = found.exclusions.to_pylist()
    assert left["id"] == "t.csv:4" and "goes on to line 6" in left["detail"], left


def test_a_header_with_a_quote_that_nobody_closes_is_no_table_without_rows(
    tmp_path: Path, context: SourceContext
) -> None:
    (tmp_path / "a.csv").write_text("id,text,audio\ns0,a,x\n")
    (tmp_path / "b.csv").write_text('id,text,"audio\nt0,a,x\nt1,b,y\n')
    with pytest.raises(UsageError, match=r"b\.csv: line 1: a quoted cell does not end"):
        source(context, tmp_path, files="*.csv", columns={"id": "id", "caption": "text"}).read()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_long_table_shows_signs_of_life(ending: str, tmp_path: Path, context: SourceContext) -> None:
    """A stage in which nothing moves for long is ended."""

    def moved(count: int) -> int:
        path, ids = tmp_path / f"{count}.{ending}", [f"t{number}" for number in range(count)]
        if ending == "parquet":
            pq.write_table(pa.table({"id": ids}), path)
        elif ending == "csv":
            path.write_text("id\n" + "".join(f"{name}\n" for name in ids))
        else:
            path.write_text("".join(f'{{"id": "{name}"}}\n' for name in ids))
        before = signs_of_life()
        assert source(context, tmp_path, files=path.name, columns={"id": "id"}).read().tracks.num_rows == count
        return signs_of_life() - before

    assert moved(50_000) >= moved(10) + 3


def test_a_row_of_parquet_that_is_no_text_is_that_rows_problem(tmp_path: Path, context: SourceContext) -> None:
    texts = pa.array([f"t{n}".encode() if n != 5 else b"t\xff" for n in range(8)])
    ids = pa.StringArray.from_buffers(8, texts.buffers()[1], texts.buffers()[2])
    pq.write_table(pa.table({"id": ids}), tmp_path / "t.parquet")
    found = source(context, tmp_path, files="t.parquet", columns={"id": "id"}).read()
    assert found.tracks.num_rows == 7
    (left,) = found.exclusions.to_pylist()
    assert left["id"] == "t.parquet:6" and "UTF-8" in left["detail"], left


def test_parquet_whose_columns_have_no_names_of_text_is_refused(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": ["a"], "text": ["b"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"text", b"\xff\xfe\xff\xfe"))
    (tmp_path / "m.yaml").write_text(
        "name: m\nsource: {kind: caption_table, path: ., files: t.parquet, columns: {id: id, caption: text}}\n"
    )
    ran = command("build", tmp_path / "m.yaml", "--out", tmp_path / "out", "--only", "source")
    assert ran.code == 2 and "t.parquet" in ran.err and "Traceback" not in ran.err, ran.err
