"""README.md: front matter that the hub reads, tables that nothing can break, code that runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.report.card import hub_licence, markdown, size_category
from pipelines.report.page import write_report
from schemas.store import Store
from schemas.tables import TABLES


def card_of(store: Store) -> str:
    write_report(store, json.loads(store.read_text("audit.json")) if store.exists("audit.json") else None, [])
    return store.read_text("README.md")


def front_matter(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    content: dict[str, Any] = yaml.safe_load(head)
    return content


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def test_front_matter_points_at_files_that_are_there(make: Any, by_artist: Callable[[int], str]) -> None:
    title = 'A: "title" --- # with\nmarks'
    store = make(splits={"default": by_artist}, recipe={"card": {"title": title, "licence": "CC BY-NC-SA 4.0"}})
    content = front_matter(card_of(store))
    assert content["pretty_name"] == 'A: "title" --- # with marks'
    assert content["license"] == "cc-by-nc-sa-4.0"
    assert content["size_categories"] == ["n<1K"]
    paths = [entry["path"] for config in content["configs"] for entry in config["data_files"]]
    assert all(Path(store.root).glob(path) and list(Path(store.root).glob(path)) for path in paths)
    assert [config["config_name"] for config in content["configs"] if config.get("default")] == ["labels"]
    assert {config["config_name"] for config in content["configs"]} >= {
        "tracks",
        "labels",
        "splits",
        "features.ttmr",
    }


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "unknown"),
        ("CC0", "cc0-1.0"),
        ("cc by 4.0", "cc-by-4.0"),
        ("CC-BY-SA-3.0", "cc-by-sa-3.0"),
        ("ask us", "other"),
    ],
)
def test_licences(text: str, word: str) -> None:
    assert hub_licence(text) == word


@pytest.mark.parametrize(
    ("rows", "word"), [(999, "n<1K"), (1000, "1K<n<10K"), (54_380, "10K<n<100K"), (10**9, "100M<n<1B")]
)
def test_sizes(rows: int, word: str) -> None:
    assert size_category(rows) == word


def test_tables_hold_whatever_names_hold(make: Any, by_artist: Callable[[int], str]) -> None:
    hostile = "a|b `c` *d* <script>x</script> [e](f) \\"
    store = make(
        tags=lambda n: [hostile],
        splits={"default": by_artist, hostile: by_artist},
        category=hostile,
        notes=[hostile],
        excluded=[{"id": hostile + "\nnext", "stage": "source", "reason": "silent", "detail": hostile}],
    )
    card = card_of(store)
    assert "<script>" not in card
    body = re.sub(r"```.*?```", "", card, flags=re.DOTALL)
    tables = re.findall(r"(?:^\|.*\n)+", body, flags=re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        assert len({cells(row) for row in table.replace("\\\\", "").splitlines()}) == 1, table


def test_markdown_shows_what_it_is_given() -> None:
    assert markdown("a_b*c|d\n<e>&") == r"a\_b\*c\|d &lt;e&gt;&amp;"


def test_numbers_and_columns_are_in_the_card(make: Any, by_artist: Callable[[int], str]) -> None:
    excluded = [{"id": f"x{n}", "stage": "source", "reason": "too_short", "detail": None} for n in range(1500)]
    card = card_of(
        make(splits={"default": by_artist}, excluded=excluded, recipe={"card": {"citation": "```who```"}})
    )
    assert "| source | `too_short` | 1,500 | less sound than the feature's shortest clip | x0, x1, x10 |" in card
    assert "| default | train | 6 | 6 | 50.0% | 50.0% | 3 | 2 |" in card
    assert "2,345" in card
    for field in TABLES["tracks"].schema:
        assert f"| `{field.name}` |" in card
    assert "````\n```who```\n````" in card


def test_the_code_of_the_card_runs(
    make: Any, by_artist: Callable[[int], str], clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make(splits={"default": by_artist})
    card = card_of(store)
    monkeypatch.chdir(store.root)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL):
        exec(block, names)
    assert len(names["train"]) == 6
    assert (names["clip"] == clip(names["row"]["track_id"])).all()


def test_code_without_tags_and_splits_runs(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tags=None, features=False)
    card = card_of(store)
    monkeypatch.chdir(store.root)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL):
        exec(block, names)
    assert len(names["tracks"]) == 12


def test_sources_stand_in_the_card(make: Any) -> None:
    works = [
        {"name": "A | B", "licence": "CC0", "bibtex": "@misc{a, title={``` `}}"},
        {"name": "C", "licence": "not stated", "url": "c.example"},
    ]
    text = card_of(make(recipe={"card": {"title": "x", "sources": works}}))
    assert "| A \\| B | CC0 |  |" in text
    assert "| C | not stated | c.example |" in text
    assert "````\n@misc{a, title={``` `}}\n````" in text
