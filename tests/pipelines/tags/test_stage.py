"""The stage as a reader sees it: which rule joined which member, and how many categories are by rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tracklore
from schemas.store import Store
from schemas.tables import DROPPED_TAGS, TAGS

MANIFEST = """
name: typed
card:
  title: Tags as typed
  description: Tags as typed.
  sources: [{name: a list, licence: CC0}]
source:
  kind: caption_table
  path: PATH
  files: rows.csv
  columns: {id: id, artist: artist, title: title, tags: tags}
  tag_separator: "|"
tags: {min_tracks: 1}
splits: {ratios: {train: 0.8, valid: 0.1, test: 0.1}}
"""
ROWS = [
    "Hip-Hop|hiphop|seen live|country: france",
    "hip hop|rock 80s|glitchy breakcore",
    "hip hop|80s rock|German bands|Blues",
    "hip hop|psychadelic|psychedelic|Radiohead",
    "moonlit nonsuch|psychedelic",
]

AS_WRITTEN = [
    ("Chicago", "drummachine|chicago"),
    ("Somebody", "Female Vocal|wobblecore|qwxz"),
    ("Qwxz", "qwxz|drummachine"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("typed")
    lines = [f"t{n},{'Blues' if n == 2 else 'Radiohead'},a title,{tags}" for n, tags in enumerate(ROWS)]
    (folder / "rows.csv").write_text("\n".join(["id,artist,title,tags", *lines]) + "\n", "utf-8")
    (folder / "typed.yaml").write_text(MANIFEST.replace("PATH", str(folder)), "utf-8")
    with pytest.raises(SystemExit, match="0"):
        tracklore.main(["build", str(folder / "typed.yaml"), "--out", str(folder / "out"), "--only", "tags"])
    return Store(str(folder / "out"))


def test_each_group_says_which_rule_joined_which_member(built: Store) -> None:
    rows = {row["tag"]: row for row in TAGS.read(built).to_pylist()}
    joined = {tag: dict(zip(row["members"], row["joined_by"], strict=True)) for tag, row in rows.items()}
    assert joined == {
        "hip hop": {"hip hop": "as_typed", "Hip-Hop": "punctuation", "hiphop": "joined"},
        "80s rock": {"80s rock": "as_typed", "rock 80s": "order"},
        "psychedelic": {"psychedelic": "as_typed", "psychadelic": "spelling"},
        "country: france": {"country: france": "as_typed"},
        "german bands": {"German bands": "case"},
        "blues": {"Blues": "case"},
        "glitchy breakcore": {"glitchy breakcore": "as_typed"},
        "moonlit nonsuch": {"moonlit nonsuch": "as_typed"},
    }
    assert {tag: row["category"] for tag, row in rows.items()} == {
        "hip hop": "genre",
        "80s rock": "genre",
        "psychedelic": "genre",
        "country: france": "location",
        "german bands": "language",
        "blues": "genre",
        "glitchy breakcore": "genre",
        "moonlit nonsuch": "other",
    }
    dropped = DROPPED_TAGS.read(built).to_pylist()
    assert [(row["raw_tag"], row["reason"], row["detail"]) for row in dropped] == [
        ("seen live", "tag_not_musical", "seen live")
    ]


def test_the_share_of_categories_by_rule_is_told(built: Store) -> None:
    notes = json.loads(built.read_text("receipt.json"))["stages"]["tags"]["notes"]
    # By rule are 80s rock on two tracks, glitchy breakcore and moonlit nonsuch on one: 4 of 13 pairs.
    assert notes[0] == (
        "12 tags as typed became 8; 3 of those (37.5%) have their category by rule, "
        "as no list and no source has them: 30.8% of the annotations"
    )


def test_tags_left_as_their_source_wrote_them_have_a_class_too(tmp_path: Path) -> None:
    lines = [f"t{n},{artist},a title,{tags}" for n, (artist, tags) in enumerate(AS_WRITTEN)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,artist,title,tags", *lines]) + "\n", "utf-8")
    manifest = MANIFEST.replace("PATH", str(tmp_path)).replace("min_tracks: 1", "min_tracks: 1, rules: none")
    (tmp_path / "typed.yaml").write_text(manifest, "utf-8")
    with pytest.raises(SystemExit, match="0"):
        tracklore.main(["build", str(tmp_path / "typed.yaml"), "--out", str(tmp_path / "out"), "--only", "tags"])
    rows = {row["tag"]: row["category"] for row in TAGS.read(Store(str(tmp_path / "out"))).to_pylist()}
    # Chicago is an artist and, on his own tracks too, a place: the taxonomy has it. Wobblecore is so by its shape.
    assert rows == {
        "drummachine": "instrument",
        "Female Vocal": "instrument",
        "wobblecore": "genre",
        "chicago": "location",
        "qwxz": "other",
    }
