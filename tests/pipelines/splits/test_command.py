"""`tracklore split`, through the command line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Command = Callable[..., Any]
Rows = list[dict[str, Any]]

RATIOS = ("--ratio", "train=0.6", "--ratio", "valid=0.2", "--ratio", "test=0.2")
COLUMNS = ("--id", "track", "--group", "artist", "--labels", "tags")
WORDS = ["rock", "pop", "sad", "hip hop", "R&B, soul", "日本語"]


@pytest.fixture
def rows() -> Rows:
    draw = random.Random(4)
    return [
        {
            "track": f"t{n:03d} ü'\"",
            "artist": f"Artist, {n % 41}",
            "tags": sorted(draw.sample(WORDS, draw.randint(0, 3))),
        }
        for n in range(200)
    ]


def save(rows: Rows, path: Path, separator: str = "|") -> Path:
    flat = [{key: separator.join(v) if isinstance(v, list) else str(v) for key, v in row.items()} for row in rows]
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        case _:
            mark = "\t" if path.suffix == ".tsv" else ","
            lines = [mark.join(flat[0])]
            lines += [mark.join('"' + cell.replace('"', '""') + '"' for cell in row.values()) for row in flat]
            path.write_bytes("\r\n".join(lines).encode())
    return path


def assigned(path: Path) -> dict[Any, str]:
    table = pq.read_table(path)
    assert table.num_columns == 2
    assert table.column_names[1] == "split"
    return dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.jsonl", "T.CSV"])
def test_every_format_gives_the_same_split(name: str, rows: Rows, tmp_path: Path, command: Command) -> None:
    save(rows, tmp_path / "base.parquet")
    assert (
        command("split", tmp_path / "base.parquet", "--out", tmp_path / "base_out.parquet", *COLUMNS, *RATIOS).code
        == 0
    )
    source = save(rows, tmp_path / name)
    out = tmp_path / "new folder" / "out.parquet"
    ran = command("split", source, "--out", out, *COLUMNS, *RATIOS, "--label-separator", "|")
    assert (ran.code, ran.err) == (0, "")
    assert "200 rows written" in ran.out
    assert out.read_bytes() == (tmp_path / "base_out.parquet").read_bytes()
    splits = assigned(out)
    assert set(splits) == {row["track"] for row in rows}
    for artist in {row["artist"] for row in rows}:
        assert len({splits[row["track"]] for row in rows if row["artist"] == artist}) == 1
    counts = [list(splits.values()).count(split) for split in ("train", "valid", "test")]
    assert counts == pytest.approx([120, 40, 40], abs=3)
    for tag in WORDS:
        tagged = [splits[row["track"]] for row in rows if tag in row["tags"]]
        assert tagged.count("train") / len(tagged) == pytest.approx(0.6, abs=0.08)


def test_the_order_of_rows_changes_no_byte(rows: Rows, tmp_path: Path, command: Command) -> None:
    outs = []
    for number in range(2):
        source = save(rows, tmp_path / f"{number}.parquet")
        outs.append(tmp_path / f"out{number}.parquet")
        assert command("split", source, "--out", outs[-1], *COLUMNS, *RATIOS, "--seed", "3").code == 0
        random.Random(1).shuffle(rows)
    assert outs[0].read_bytes() == outs[1].read_bytes()


@pytest.mark.parametrize("kind", [pa.int64(), pa.int8(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_ids_keep_their_type_and_groups_may_have_any(kind: pa.DataType, tmp_path: Path, command: Command) -> None:
    values: list[Any] = list(range(60)) if pa.types.is_integer(kind) else [f"{n:02d}" for n in range(60)]
    ids = pa.array(values, kind.value_type if pa.types.is_dictionary(kind) else kind)
    table = pa.table(
        {
            "key": ids.dictionary_encode() if pa.types.is_dictionary(kind) else ids,
            "artist": pa.array([n % 20 for n in range(60)], pa.int64()),
            "codes": pa.array([[n % 3, 7] if n % 5 else None for n in range(60)], pa.large_list(pa.int64())),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    out = tmp_path / "o.parquet"
    words = ("--id", "key", "--group", "artist", "--labels", "codes", *RATIOS)
    assert command("split", tmp_path / "t.parquet", "--out", out, *words).code == 0
    found = pq.read_table(out)
    assert found.column_names == ["key", "split"]
    splits = dict(zip(found.column("key").to_pylist(), found.column("split").to_pylist(), strict=True))
    for artist in range(20):
        assert len({splits[values[n]] for n in range(artist, 60, 20)}) == 1


def test_split_names_are_free_and_ratios_may_miss_1_by_a_thousandth(
    rows: Rows, tmp_path: Path, command: Command
) -> None:
    source, out = save(rows, tmp_path / "t.parquet"), tmp_path / "o.parquet"
    names = ["[bold]", "[/x]", "Übung 1"]
    words = [w for name in names for w in ("--ratio", f"{name}=0.333")]
    ran = command("split", source, "--out", out, *COLUMNS, *words)
    assert (ran.code, ran.err) == (0, "")
    assert set(assigned(out).values()) == set(names)
    for name in names:
        assert name in ran.out


@pytest.mark.parametrize("name", ["none", "student", "extra"])
def test_names_with_a_meaning_of_their_own_are_refused(
    name: str, rows: Rows, tmp_path: Path, command: Command
) -> None:
    source = save(rows, tmp_path / "t.parquet")
    ran = command(
        "split", source, "--out", tmp_path / "o.parquet", *COLUMNS, "--ratio", "train=0.5", "--ratio", f"{name}=0.5"
    )
    assert (ran.code, f"{name!r} has a meaning of its own" in ran.err) == (2, True)


def test_a_label_separator_may_be_several_signs_and_blanks_are_cut(tmp_path: Path, command: Command) -> None:
    (tmp_path / "t.csv").write_text(
        "track,artist,tags\n" + "".join(f"{n},{n},{'rock ;;  pop;;' if n % 2 else ';; jazz'}\n" for n in range(40))
    )
    out = tmp_path / "o.parquet"
    words = (*COLUMNS, "--ratio", "a=0.5", "--ratio", "b=0.5", "--label-separator", ";;")
    ran = command("split", tmp_path / "t.csv", "--out", out, *words)
    assert ran.code == 0
    lines = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line[:1] in "ab"}
    assert lines == {"a": ["20", "50.0%", "20", "3"], "b": ["20", "50.0%", "20", "3"]}
    splits = assigned(out)
    assert [splits[str(n)] for n in range(1, 40, 2)].count("a") == 10


def test_a_csv_of_a_spreadsheet_is_read(tmp_path: Path, command: Command) -> None:
    """A byte order mark, CRLF, a quoted cell with a line break, numbers that must stay text."""
    body = '\ufefftrack,artist,tags\r\n007,1.0,"rock\r\nroll"\r\n7,1.00,pop\r\n0x7,,\r\n'.replace(
        "0x7,,", "0x7,NA,"
    )
    (tmp_path / "t.csv").write_bytes(body.encode())
    out = tmp_path / "o.parquet"
    ran = command("split", tmp_path / "t.csv", "--out", out, *COLUMNS, "--ratio", "all=1", "--label-separator", "|")
    assert (ran.code, ran.err) == (0, "")
    assert list(assigned(out)) == ["007", "0x7", "7"]


def test_fewer_groups_than_splits_warn_and_end_well(tmp_path: Path, command: Command) -> None:
    (tmp_path / "t.csv").write_text("track,artist,tags\na,x,rock\nb,x,pop\n")
    out = tmp_path / "o.parquet"
    ran = command("split", tmp_path / "t.csv", "--out", out, *COLUMNS, *RATIOS, "--label-separator", ",")
    assert ran.code == 0
    assert ran.err == "warning: 1 groups for 3 splits: valid, test stay empty\n"
    assert assigned(out) == {"a": "train", "b": "train"}


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_without_rows_gives_a_table_without_rows(name: str, tmp_path: Path, command: Command) -> None:
    if name == "t.csv":
        (tmp_path / name).write_text("track,artist,tags\n")
    else:
        empty = {"track": pa.array([], pa.int64()), "artist": pa.array([], pa.string())}
        pq.write_table(pa.table({**empty, "tags": pa.array([], pa.list_(pa.string()))}), tmp_path / name)
    out = tmp_path / "o.parquet"
    ran = command("split", tmp_path / name, "--out", out, *COLUMNS, *RATIOS, "--label-separator", ",")
    assert (ran.code, ran.err) == (0, "warning: there is nothing to split\n")
    assert pq.read_table(out).num_rows == 0


def test_more_effort_and_any_seed_are_taken(rows: Rows, tmp_path: Path, command: Command) -> None:
    source = save(rows, tmp_path / "t.parquet")
    for words in (("--effort", "3"), ("--seed", "-5"), ("--seed", str(2**70))):
        assert command("split", source, "--out", tmp_path / "o.parquet", *COLUMNS, *RATIOS, *words).code == 0


def fails(ran: Any, code: int, *parts: str) -> None:
    assert ran.code == code, ran
    assert "Traceback" not in ran.err
    lines = ran.err.strip().splitlines()
    assert 1 <= len(lines) <= 2, ran.err
    assert lines[0].startswith("tracklore: ")
    for part in parts:
        assert part in ran.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--ratio", "train=0.7", "--ratio", "test=0.2"), ("the ratios sum to 0.9, not to 1",)),
        (("--ratio", "train=0.7", "--ratio", "test=0.3021"), ("the ratios sum to 1.0021",)),
        (("--ratio", "train=1.5", "--ratio", "test=-0.5"), ("the ratio of 'train' is 1.5",)),
        (("--ratio", "train=0.7", "--ratio", "train=0.3"), ("'train' is given twice",)),
        (("--ratio", "train"), ("--ratio train: write --ratio train=0.7",)),
        (("--ratio", "=1"), ("--ratio =1: write",)),
        (("--ratio", "train=much"), ("--ratio train=much: write",)),
        (("--ratio", "train=nan"), ("the ratio of 'train' is nan",)),
        (("--ratio", "train=1", "--effort", "0"), ("--effort 0: at least 1",)),
        (("--ratio", "train=1", "--labels", "tag"), ("--labels tag: no such column; did you mean 'tags'?",)),
        (("--ratio", "train=1", "--id", "song"), ("--id song: no such column",)),
        (("--ratio", "train=1", "--group", "by"), ("--group by: no such column",)),
    ],
)
def test_wrong_usage_is_exit_2(
    words: tuple[str, ...], parts: tuple[str, ...], rows: Rows, tmp_path: Path, command: Command
) -> None:
    source, out = save(rows, tmp_path / "t.parquet"), tmp_path / "o.parquet"
    fails(command("split", source, "--out", out, *COLUMNS, *words), 2, *parts)
    assert not out.exists()


def test_files_that_cannot_be_are_exit_2(rows: Rows, tmp_path: Path, command: Command) -> None:
    source = save(rows, tmp_path / "t.parquet")
    (tmp_path / "t.xlsx").write_bytes(b"x")
    (tmp_path / "folder.csv").mkdir()
    words = (*COLUMNS, *RATIOS, "--label-separator", ",")
    fails(
        command("split", tmp_path / "none.csv", "--out", tmp_path / "o.parquet", *words),
        2,
        "none.csv: no such file",
    )
    fails(
        command("split", tmp_path / "t.xlsx", "--out", tmp_path / "o.parquet", *words), 2, "name the file .parquet"
    )
    fails(command("split", tmp_path / "folder.csv", "--out", tmp_path / "o.parquet", *words), 2, "folder.csv")
    fails(command("split", source, "--out", tmp_path / "o.csv", *words), 2, "name it with .parquet")
    fails(command("split", source, "--out", tmp_path / "t.xlsx" / "o.parquet", *words), 2, "t.xlsx/o.parquet")


def test_text_labels_want_a_separator(rows: Rows, tmp_path: Path, command: Command) -> None:
    source, out = save(rows, tmp_path / "t.csv"), tmp_path / "o.parquet"
    fails(command("split", source, "--out", out, *COLUMNS, *RATIOS), 2, "'tags' holds text", "--label-separator")
    ran = command("split", source, "--out", out, *COLUMNS, *RATIOS, "--label-separator", "")
    fails(ran, 2, "--label-separator")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "track,artist,tags\na,x,r\na,y,r\n", "rows 1 and 2 have the same track 'a'"),
        ("t.csv", "track,artist,tags\na,x,r\n,y,r\n", "row 2: no value in column 'track'"),
        ("t.csv", "track,artist,tags\na,x,r\nb,,r\n", "row 2: no value in column 'artist'"),
        ("t.csv", "track,artist,tags\na,x,r\nb,y\n", "is no csv table"),
        ("t.csv", "", "is no csv table"),
        ("t.jsonl", "", "is no jsonl table"),
        ("t.jsonl", '{"track": "a", "artist": "x", "tags": ["r"]}\n{"track": ', "is no jsonl table"),
        ("t.jsonl", '{"track": "a", "artist": null, "tags": ["r"]}\n', "row 1: no value in column 'artist'"),
        (
            "t.jsonl",
            '{"track": 1, "artist": "x", "tags": []}\n{"track": "b", "artist": "x", "tags": []}\n',
            "is no",
        ),
        ("t.parquet", "PAR1 but no more", "is no parquet table"),
        ("t.parquet", "", "is no parquet table"),
        ("t.csv", b"track,artist,tags\n\xff\xfe,x,r\n", "is no csv table"),
        ("t.csv", b"tr\xffack,artist,tags\na,x,r\n", "is no csv table"),
    ],
)
def test_a_table_that_fails_a_check_is_exit_1(
    name: str, content: str | bytes, message: str, tmp_path: Path, command: Command
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    out = tmp_path / "o.parquet"
    fails(
        command("split", tmp_path / name, "--out", out, *COLUMNS, *RATIOS, "--label-separator", "|"),
        1,
        name,
        message,
    )
    assert not out.exists()


def test_numbers_that_are_none_are_no_values(tmp_path: Path, command: Command) -> None:
    """Pandas writes a missing id or group of a numeric column as NaN."""
    labels = pa.array([["r"]] * 3)
    columns = {"track": [1.0, 2.0, 3.0], "artist": [1.0, 1.0, 2.0]}
    for broken in columns:
        table = {name: pa.array(v if name != broken else [v[0], float("nan"), v[2]]) for name, v in columns.items()}
        pq.write_table(pa.table({**table, "tags": labels}), tmp_path / "t.parquet")
        ran = command("split", tmp_path / "t.parquet", "--out", tmp_path / "o.parquet", *COLUMNS, *RATIOS)
        fails(ran, 1, f"row 2: no value in column '{broken}'")


def test_a_list_is_no_id_and_no_group(tmp_path: Path, command: Command) -> None:
    table = {"track": ["a", "b"], "artist": [["x"], ["x", "y"]], "tags": [["r"], ["s"]]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    ran = command("split", tmp_path / "t.parquet", "--out", tmp_path / "o.parquet", *COLUMNS, *RATIOS)
    fails(ran, 2, "--group artist", "list")


def test_columns_that_cannot_be_told_apart_are_refused(tmp_path: Path, command: Command) -> None:
    (tmp_path / "t.csv").write_text("track,artist,artist,tags\na,x,y,r\n")
    ran = command(
        "split", tmp_path / "t.csv", "--out", tmp_path / "o.parquet", *COLUMNS, *RATIOS, "--label-separator", "|"
    )
    fails(ran, 2, "--group artist", "twice")
    (tmp_path / "t.csv").write_text("split,artist,tags\na,x,r\n")
    words = ("--id", "split", "--group", "artist", "--labels", "tags", "--label-separator", "|")
    ran = command("split", tmp_path / "t.csv", "--out", tmp_path / "o.parquet", *words, *RATIOS)
    fails(ran, 2, "--id split", "rename")


def test_a_missing_option_is_exit_2(tmp_path: Path, command: Command) -> None:
    ran = command("split", tmp_path / "t.csv", "--id", "track")
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_what_no_split_can_beat_is_told(tmp_path: Path, command: Command) -> None:
    # Every row with the label is one artist's, and the artists are equal: all splits are alike, so none is better.
    rows = [{"track": f"{n:02d}", "artist": f"a{n // 10}", "tags": ["x"] if n < 10 else []} for n in range(30)]
    table = save(rows, tmp_path / "t.parquet")
    thirds = [word for name in ("train", "valid", "test") for word in ("--ratio", f"{name}=0.3333")]
    ran = command("split", table, *COLUMNS, *thirds, "--out", tmp_path / "out.parquet")
    assert ran.code == 0, ran.err
    # The odds are 10 to 20 in all; 10 to a half, for none is left, in one split; none in the others.
    best = (20 - 0.5 + 0.5 + 0.5) / 3
    assert f"label distance {best:.5f};" in ran.out
    assert f"no split of these sizes that tears no group is below {best:.5f}" in ran.out
