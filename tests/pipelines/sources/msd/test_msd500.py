from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UsageError

SELECTED = "rock\tgenre\nhappy\tmood/character\nlondon\tlocation\ngerman\tlanguage/origin\nguitar\tinstrument\n"
SELECTED += "party\tactivity\n80s\tdecade\n"
ROWS = [
    "TRAAAAK128F9318786\trock music\trock\tgenre\t40.0",
    "TRAAAAK128F9318786\tRock\trock\tgenre\t100.0",
    "TRAAAAK128F9318786\teighties\t80s\tdecade\t3",
    "TRAAAAW128F429D538\thappy\thappy\tmood/character\t61.0",
    "TRAAAAW128F429D538\tBerlin\tberlin\tlocation\t61.0",
    'TRAAADZ128F9348C2E\t"""quoted"" tag"\tguitar\tinstrument\t12.0',
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "track_tags.tsv").write_text("".join(f"{row}\n" for row in ROWS))
    (tmp_path / "selected_tags.tsv").write_text(SELECTED)
    return tmp_path


def scores(tables: Any) -> dict[tuple[str, str], float]:
    rows = tables.annotations.to_pylist()
    found = {(row["track_id"], row["raw_tag"]): row["score"] for row in rows}
    assert len(found) == len(rows) and {row["source"] for row in rows} == {"msd500"}
    return found


def test_cleaned_tags_come_with_their_best_score(folder: Path, read: Any) -> None:
    tables = read("msd500", folder)
    assert scores(tables) == {
        ("TRAAAAK128F9318786", "rock"): 100.0,
        ("TRAAAAK128F9318786", "80s"): 3.0,
        ("TRAAAAW128F429D538", "happy"): 61.0,
        ("TRAAADZ128F9348C2E", "guitar"): 12.0,
    }
    assert {row["raw_tag"]: row["category"] for row in tables.taxonomy.to_pylist()} == {
        "rock": "genre",
        "happy": "mood",
        "london": "location",
        "german": "language",
        "guitar": "instrument",
        "party": "activity",
        "80s": "decade",
    }
    assert any("1 rows of tags that selected_tags.tsv does not name" in note for note in tables.notes)


def test_without_the_selection_every_cleaned_tag_counts(folder: Path, read: Any) -> None:
    (folder / "selected_tags.tsv").unlink()
    tables = read("msd500", folder)
    assert ("TRAAAAW128F429D538", "berlin") in scores(tables)
    assert {row["raw_tag"] for row in tables.taxonomy.to_pylist()} == {"rock", "80s", "happy", "berlin", "guitar"}


def test_song_ids_give_every_track_of_the_song(folder: Path, read: Any) -> None:
    text = "SOMZWCG12A8C13C480\trock music\trock\tgenre\t40.0\nSOMZWCG12A8C13C480\tRock\trock\tgenre\t90.0\n"
    text += "SOZZZZZ12A8C13C480\trock\trock\tgenre\t5.0\nTRAAAAK128F9318786\trock\trock\tgenre\t95.0\n"
    (folder / "track_tags.tsv").write_text(text)
    songs = {"SOMZWCG12A8C13C480": ["TRAAAAK128F9318786", "TRMMMYQ128F932D901"], "SOXXXXX12A8C13C480": ["TRX"]}
    tables = read("msd500", folder, songs=songs)
    assert scores(tables) == {("TRAAAAK128F9318786", "rock"): 95.0, ("TRMMMYQ128F932D901", "rock"): 90.0}
    assert any("1 songs have no track" in note for note in tables.notes)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("TRAAAAK128F9318786\trock\trock\tgenre", "line 7: 4 cells, and 5 are published"),
        ("TRAAAAK128F9318786\trock\trock\tcolour\t3", "line 7: 'colour' is none of the seven"),
        ("TRAAAAK128F9318786\trock\trock\tgenre\tmany", "line 7: score 'many' is no number"),
        ("song_id\ttag\trock\tgenre\t3", "line 7: 'song_id' is the id of no track"),
    ],
)
def test_a_row_that_is_not_as_published_is_named(row: str, problem: str, folder: Path, read: Any) -> None:
    with (folder / "track_tags.tsv").open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(UsageError, match=rf"track_tags\.tsv: {problem}"):
        read("msd500", folder)


def test_a_missing_file_is_named_with_where_it_is_from(folder: Path, read: Any) -> None:
    (folder / "track_tags.tsv").unlink()
    with pytest.raises(UsageError, match=r"has no track_tags\.tsv .*msd500\.tar\.gz.*tag-based-music-retrieval"):
        read("msd500", folder)
