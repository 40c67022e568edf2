from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.emotify import EMOTIONS, Emotify, EmotifySettings
from schemas.errors import DataError, UsageError

# As published, a space before each name but the first.
HEADER = (
    "track id, genre, amazement, solemnity, tenderness, nostalgia, calmness, power, joyful_activation, tension, "
    "sadness, mood, liked, disliked, age, gender, mother tongue"
)
GENRES = ("classical", "electronic", "pop", "rock")
Votes = dict[int, list[set[str]]]


def publish(folder: Path, votes: Votes, parts: dict[str, list[str]] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEADER]
    for clip, listeners in votes.items():
        for chosen in listeners:
            cells = ",".join(str(int(emotion in chosen)) for emotion in EMOTIONS)
            lines.append(f"{clip},{GENRES[(clip - 1) // 100]},{cells},3,0,0,23,1,English")
    (folder / "data.csv").write_text("\n".join(lines) + "\n", "utf-8")
    if parts is not None:
        (folder / "track_split.json").write_text(json.dumps(parts, indent=4), "utf-8")
    return folder


def source(context: SourceContext, folder: Path, **keys: Any) -> Emotify:
    return Emotify(EmotifySettings(kind="emotify", path=str(folder), **keys), context)


VOTES: Votes = {
    1: [{"solemnity", "power"}, {"power"}, {"sadness", "power"}, set()],
    110: [{"tension"}, {"calmness"}],
    400: [set()],
}
SPLIT = {"train_track": ["1"], "valid_track": [], "test_track": ["110"]}


def test_a_clips_tag_is_what_most_listeners_chose(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "emotify", VOTES, SPLIT)).read()
    # Of equals the first in the published order: calmness before tension.
    assert [(r["track_id"], r["raw_tag"]) for r in tables.annotations.to_pylist()] == [
        ("1", "power"),
        ("110", "calmness"),
    ]
    assert tables.targets is not None
    shares = {(r["track_id"], r["name"]): r["value"] for r in tables.targets.to_pylist()}
    assert len(shares) == 3 * 9
    assert (shares["1", "power"], shares["1", "sadness"], shares["110", "tension"]) == (0.75, 0.25, 0.5)
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert [rows[clip]["audio_uri"] for clip in ("1", "110", "400")] == [
        "classical/1.mp3",
        "electronic/10.mp3",
        "rock/100.mp3",
    ]
    assert len({row["artist_id"] for row in rows.values()}) == 3
    assert "no artists are published: each clip counts as one" in tables.notes
    assert tables.published is not None
    assert {r["track_id"]: r["split"] for r in tables.published.to_pylist()} == {"1": "train", "110": "test"}


def test_every_emotion_that_was_chosen_with_its_share(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "emotify", VOTES), emotions="chosen").read()
    said = {r["raw_tag"]: r["score"] for r in tables.annotations.to_pylist() if r["track_id"] == "1"}
    assert said == {"power": 75.0, "sadness": 25.0, "solemnity": 25.0}
    assert tables.published is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("track id", "id", r"line 1: no column 'track id'"),
        ("1,classical,0", "1,classical,7", r"line 2: amazement is '7', and 0 or 1 is published"),
        ("1,classical", "0,classical", r"line 2: track id '0' is no number"),
        ("1,classical", "1,rock", r"line 3: track 1 is 'classical' here, and 'rock' on line 2"),
        (",English", "", r"line 2: 16 cells, and 17 are published"),
    ],
)
def test_a_row_that_is_not_as_published_is_named(
    old: str, new: str, message: str, tmp_path: Path, context: SourceContext
) -> None:
    folder = publish(tmp_path / "emotify", VOTES)
    text = (folder / "data.csv").read_text("utf-8")
    assert old in text
    (folder / "data.csv").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(UsageError, match=rf"data\.csv: {message}"):
        source(context, folder).read()


def test_the_recipe_builds_and_a_clip_of_two_splits_is_refused(
    tmp_path: Path, audited: Callable[..., Any], context: SourceContext
) -> None:
    votes: Votes = {clip: [{EMOTIONS[clip % 3]}] for clip in range(1, 61)}
    ids = [str(clip) for clip in votes]
    parts = {"train_track": ids[:44], "valid_track": ids[44:50], "test_track": ids[50:]}
    folder = publish(tmp_path / "emotify", votes, parts)
    found = audited("emotify", folder)
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.strict) == (0, 0)
    assert found.sizes("published") == {"train": 44, "valid": 6, "test": 10}
    publish(folder, votes, parts | {"test_track": ids[40:]})
    with pytest.raises(
        DataError, match=r"track_split\.json: test_track: entry 1: '41' is in test, and in train too"
    ):
        source(context, folder).read()
