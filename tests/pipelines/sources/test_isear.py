from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.isear import EMOTIONS, Isear, sentence_of
from pipelines.sources.random_split import RandomSplitSettings
from schemas.emotion_maps import load_emotion_maps
from schemas.errors import UsageError

Command = Callable[..., Any]
HEADER = (
    "ID|CITY|COUN|SUBJ|SEX|AGE|RELI|PRAC|FOCC|MOCC|FIEL|EMOT|WHEN|LONG|INTS|ERGO|TROPHO|TEMPER|EXPRES|MOVE|EXP1|EXP2|"
    "EXP10|PARAL|CON|EXPC|PLEA|PLAN|FAIR|CAUS|COPING|MORL|SELF|RELA|VERBAL|NEUTRO|Field1|Field3|Field2|MYKEY|SIT|STATE|"
)


def answer(person: int, emotion: str, said: str, key: str | None = None) -> str:
    """A row as published: 36 numbers, the emotion, two numbers, the key, the answer, 1 and nothing."""
    number = EMOTIONS.index(emotion) + 1 if emotion in EMOTIONS else 0
    numbers = [str(person), "1", "1", "1", "1", "33", "1", "2", "6", "1", "2", str(number), *["1"] * 24]
    return "|".join([*numbers, emotion, "4", "3", key or f"0{person}{number}", said, "1", ""])


def publish(folder: Path, rows: list[str], name: str = "isear.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{row}\n" for row in [HEADER, *rows]), "utf-8")
    return folder


def source(context: SourceContext, folder: Path) -> Isear:
    return Isear(RandomSplitSettings(kind="isear", path=str(folder)), context)


def test_the_published_file_through_the_command(tmp_path: Path, command: Command) -> None:
    rows = [answer(11000 + n, emotion, f"Felt {emotion} {n}.") for n in range(20) for emotion in EMOTIONS]
    rows[3] = answer(11000, "sadness", "When we met and á especially when we had not á met.")
    rows[4] = answer(11000, "disgust", "[ No response.]")
    out = tmp_path / "out"
    where = ("--set", f"source.path={publish(tmp_path / 'isear', rows)}", "--out", out)
    ran = command("build", "isear", *where, "--only", "tags,splits")
    assert ran.code == 0, ran.err
    labels = {row["track_id"]: row for row in pq.read_table(out / "labels.parquet").to_pylist()}
    assert len(labels) == 140
    assert labels["0110004"]["tags"] == ["sadness"]
    assert labels["0110004"]["caption"] == "When we met and especially when we had not met."
    assert labels["0110005"]["caption"] == "[ No response.]"
    people = {row["track_id"]: row["artist_id"] for row in pq.read_table(out / "tracks.parquet").to_pylist()}
    every = pq.read_table(out / "splits.parquet").to_pylist()
    splits = [row for row in every if row["scheme"] == "default"]
    drawn = Counter(row["split"] for row in every if row["scheme"] == "published")
    assert drawn == {"train": 98, "valid": 21, "test": 21}
    assert len({(people[row["track_id"]], row["split"]) for row in splits}) == len(set(people.values())) == 20
    assert {row["split"] for row in splits} == {"train", "valid", "test"}
    assert command("build", "isear", *where, "--only", "tags,splits", "--set", "captions.noise=isear").code == 0
    dropped = pq.read_table(out / "dropped_captions.parquet").to_pylist()
    assert [(row["track_id"], row["reason"]) for row in dropped] == [("0110005", "caption_noise")]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["When I lost the person who meant the most to me. "], "When I lost the person who meant the most to me."),
        (["that I had applied á for.  "], "that I had applied for."),
        (["Á la carte in Málaga, olá"], "Á la carte in Málaga, olá"),
        # Answers with quotation marks: their lines are cells, the first mark is a backslash, the last one too much.
        (
            ['speaking á \\the same language\\"- meaning an inspiring discussion and á', 'encounter."'],
            'speaking "the same language"- meaning an inspiring discussion and encounter.',
        ),
        (
            ['They needed \\clever people\\" and he had á', '\\"immediately thought of me.\\""'],
            'They needed "clever people" and he had "immediately thought of me."',
        ),
    ],
)
def test_answers_are_mended_as_they_were_written(cells: list[str], expected: str) -> None:
    assert sentence_of(cells) == expected


def test_rows_that_are_not_as_published_are_excluded_by_line(tmp_path: Path, context: SourceContext) -> None:
    rows = [
        answer(1, "joy", "First."),
        answer(1, "fear", "|".join(["Two", "cells and á", "more."])),
        answer(1, "bliss", "An emotion of none."),
        answer(1, "guilt", " "),
        "1|2|3",
        answer(2, "joy", "The key again.", key="011"),
    ]
    tables = source(context, publish(tmp_path / "i", rows)).read()
    assert tables.captions is not None
    assert tables.captions.column("caption").to_pylist() == ["First.", "Two cells and more."]
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [
        ("011", "duplicate_id"),
        ("isear.csv:4", "invalid_row"),
        ("isear.csv:5", "invalid_row"),
        ("isear.csv:6", "invalid_row"),
    ]


def test_another_table_is_named(tmp_path: Path, context: SourceContext) -> None:
    (tmp_path / "isear.csv").write_text("emotion,text\njoy,When.\n", "utf-8")
    with pytest.raises(UsageError, match=r"isear\.csv: line 1: is not the published header"):
        source(context, tmp_path).read()


def test_the_emotions_are_those_that_the_maps_know() -> None:
    assert set(EMOTIONS) == set(load_emotion_maps().texts["isear"].va)
