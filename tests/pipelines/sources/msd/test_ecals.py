from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.msd import json_members as module
from pipelines.sources.msd.json_members import json_members
from schemas.errors import UsageError


def entry(track_id: str, *tags: str) -> dict[str, Any]:
    return {
        "tag": list(tags),
        "release": "Sink With Kalifornija",
        "artist_name": "Youth Brigade",
        "year": 1984,
        "title": "What Are You Fighting For?",
        "track_id": track_id,
    }


TAGS = {
    "TRSAGNY128F425391E": ["aggressive", "rock nroll"],
    "TRAAAAK128F9318786": ["rock nroll"],
    "TRAAAAW128F429D538": ["pop rock", "aggressive"],
    "TRAAADZ128F9348C2E": ["pop rock"],
}
SPLIT = {
    "train_track": ["TRSAGNY128F425391E"],
    "valid_track": ["TRAAAAK128F9318786"],
    "test_track": ["TRAAAAW128F429D538"],
    "extra_track": ["TRAAADZ128F9348C2E"],
}


@pytest.fixture
def folder(tmp_path: Path, formats: Any) -> Path:
    inner = tmp_path / "ecals_annotation"
    inner.mkdir()
    formats.write_json(inner / "annotation.json", {track: entry(track, *tags) for track, tags in TAGS.items()})
    formats.write_json(inner / "ecals_track_split.json", SPLIT)
    formats.write_json(inner / "ecals_tags.json", ["aggressive", "rock nroll", "pop rock"])
    formats.write_json(inner / "ecals_tag_info.json", {"aggressive": ["mood"], "pop rock": ["genre", "style"]})
    return tmp_path


def test_the_release_is_read_for_import(folder: Path, read: Any, pairs: Any) -> None:
    tables = read("ecals", folder)
    assert pairs(tables) == sorted((track, tag) for track, tags in TAGS.items() for tag in tags)
    assert {row["track_id"]: row["split"] for row in tables.published.to_pylist()} == {
        "TRSAGNY128F425391E": "train",
        "TRAAAAK128F9318786": "valid",
        "TRAAAAW128F429D538": "test",
        "TRAAADZ128F9348C2E": "extra",
    }
    categories = {row["raw_tag"]: row["category"] for row in tables.taxonomy.to_pylist()}
    assert categories == {"aggressive": "mood", "pop rock": "genre"}


def test_labels_and_split_can_be_had_apart(folder: Path, read: Any) -> None:
    assert read("ecals", folder, split=False).published is None
    (folder / "ecals_annotation/annotation.json").write_text("broken")
    tables = read("ecals", folder, labels=False)
    assert tables.published.num_rows == 4 and tables.annotations.num_rows == 0


def test_what_is_not_as_published_is_refused(folder: Path, read: Any, formats: Any) -> None:
    def refused(name: str, content: Any) -> str:
        path = folder / "ecals_annotation" / name
        before = path.read_bytes()
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            formats.write_json(path, content)
        with pytest.raises(UsageError) as raised:
            read("ecals", folder)
        path.write_bytes(before)
        message = str(raised.value)
        assert name in message and "\n" not in message
        return message

    whole = {track: entry(track, *tags) for track, tags in TAGS.items()}
    assert "TRAAAAK128F9318786: has no list" in refused("annotation.json", {**whole, "TRAAAAK128F9318786": {}})
    assert "'unheard of'" in refused("annotation.json", {**whole, "TRX": entry("TRX", "'unheard of'")})
    assert "no JSON object" in refused("annotation.json", [1])
    assert "JSON" in refused("annotation.json", json.dumps(whole)[:-9].encode())
    doubled = json.dumps(whole)[:-1] + ', "TRAAAAK128F9318786": ' + json.dumps(entry("x")) + "}"
    assert "TRAAAAK128F9318786 stands twice" in refused("annotation.json", doubled.encode())
    assert "'none_track'" in refused("ecals_track_split.json", {**SPLIT, "none_track": []})
    assert "train_track" in refused("ecals_track_split.json", {"train_track": []})
    assert "again in test" in refused("ecals_track_split.json", {**SPLIT, "test_track": ["TRAAAAK128F9318786"]})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(
    content=st.dictionaries(st.text(), VALUES, max_size=6),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_members_are_those_that_json_itself_reads(
    content: dict[str, Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    raw = json.dumps(content, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        assert list(json_members(io.BytesIO(raw), "file")) == list(content.items())


@given(cut=st.integers(0, 60), chunk=st.integers(1, 40))
def test_a_file_that_is_cut_short_is_refused_wherever_it_is_cut(cut: int, chunk: int) -> None:
    raw = json.dumps({"a": [1, "b"], "c": {"d": 12.5}, "ü": "é"}, ensure_ascii=False).encode()
    cut = min(cut, len(raw) - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        with pytest.raises(UsageError, match=r"^file: "):
            list(json_members(io.BytesIO(raw[:cut]), "file"))
        with pytest.raises(UsageError, match="goes on"):
            list(json_members(io.BytesIO(raw + b" x"), "file"))


def test_a_deep_nest_is_refused() -> None:
    with pytest.raises(UsageError, match="too deeply"):
        list(json_members(io.BytesIO(b'{"a": ' + b"[" * 200_000), "file"))
