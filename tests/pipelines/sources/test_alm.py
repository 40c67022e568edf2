from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.sources.alm import EMOTIONS, Alm
from pipelines.sources.base import SourceContext
from pipelines.sources.published_files import PublishedFilesSettings
from schemas.emotion_maps import load_emotion_maps
from schemas.errors import UsageError

Command = Callable[..., Any]
# The last is the example of the archives' readme.
STORIES = {
    "Grimms/agree-sent/1_the_frog.agree": ['12@4@"I will," she said, and was glad.', "30@6@She began to weep."],
    "HCAndersen/agree-sent/the_bell.agree": ["0@7@What was that @ noise?", "5@2@He stamped his foot."],
    "Potter/agree-sent/ginger_pickles.agree": [
        '35@3@"It is very unpleasant, I am afraid of the police," said Pickles.'
    ],
}


def publish(folder: Path, stories: dict[str, list[str]] = STORIES, end: str = "\n") -> Path:
    for name, lines in stories.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(line + end for line in lines).encode("utf-8"))
    # What else an archive has.
    (folder / "Potter/agreeID").mkdir(exist_ok=True)
    (folder / "Potter/agreeID/ginger_pickles.agreeID").write_text("35\n")
    (folder / "Potter/tales.txt").write_text("ginger_pickles\n")
    return folder


def source(context: SourceContext, folder: Path) -> Alm:
    return Alm(PublishedFilesSettings(kind="alm", path=str(folder)), context)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_published_files_through_the_command(end: str, tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    where = ("--set", f"source.path={publish(tmp_path / 'alm', end=end)}", "--out", out)
    ran = command("build", "alm", *where, "--only", "tags,splits")
    assert ran.code == 0, ran.err
    tracks = {row["track_id"]: row for row in pq.read_table(out / "tracks.parquet").to_pylist()}
    assert set(tracks) == {
        "Grimms/1_the_frog/12", "Grimms/1_the_frog/30", "HCAndersen/the_bell/0", "HCAndersen/the_bell/5",
        "Potter/ginger_pickles/35",
    }  # fmt: skip
    assert tracks["Potter/ginger_pickles/35"]["artist_name"] == "Beatrix Potter"
    labels = {row["track_id"]: row for row in pq.read_table(out / "labels.parquet").to_pylist()}
    found = {track: (row["tags"], row["caption"]) for track, row in labels.items()}
    assert found["Potter/ginger_pickles/35"] == (
        ["fearful"],
        '"It is very unpleasant, I am afraid of the police," said Pickles.',
    )
    assert found["HCAndersen/the_bell/0"] == (["surprised"], "What was that @ noise?")
    assert [found[f"{track}"][0][0] for track in ("Grimms/1_the_frog/12", "Grimms/1_the_frog/30")] == [
        "happy",
        "sad",
    ]
    splits = pq.read_table(out / "splits.parquet").to_pylist()
    published = {row["track_id"]: row["split"] for row in splits if row["scheme"] == "published"}
    assert {split for track, split in published.items() if not track.startswith("Potter")} == {"train"}
    assert published["Potter/ginger_pickles/35"] in {"valid", "test"}
    default = {row["track_id"].split("/")[0]: row["split"] for row in splits if row["scheme"] == "default"}
    by_author = {(row["track_id"].split("/")[0], row["split"]) for row in splits if row["scheme"] == "default"}
    assert len(by_author) == len(default) == 3


def test_the_emotions_are_those_that_the_maps_know() -> None:
    maps = load_emotion_maps().texts["alm"]
    assert set(EMOTIONS.values()) == set(maps.va)


def test_lines_that_are_not_as_published_are_excluded_by_name(tmp_path: Path, context: SourceContext) -> None:
    name = "Potter/agree-sent/tale.agree"
    lines = ["1@3@Oh dear!", "2@5@A code of none.", "3@Oh dear!", "x@3@No number.", "4@3@", "1@4@Again.", ""]
    tables = source(context, publish(tmp_path / "a", {**STORIES, name: lines})).read()
    excluded = {(row["id"], row["reason"]) for row in tables.exclusions.to_pylist()}
    assert excluded == {
        *((f"{name}:{line}", "invalid_row") for line in (2, 3, 4, 5)), ("Potter/tale/1", "duplicate_id")
    }  # fmt: skip
    assert tables.tracks.num_rows == 6


def test_potter_s_stories_are_halved_and_none_is_torn(tmp_path: Path, context: SourceContext) -> None:
    stories = {f"Potter/agree-sent/tale_{n}.agree": ["0@3@Oh!", "1@4@Ah!"] for n in range(19)}
    tables = source(context, publish(tmp_path / "a", {**STORIES, **stories})).read()
    assert tables.published is not None
    splits = {(r["track_id"].rsplit("/", 1)[0], r["split"]) for r in tables.published.to_pylist()}
    halves = [split for story, split in splits if story.startswith("Potter/tale")]
    assert len(halves) == 19
    assert 5 <= halves.count("test") <= 14


def test_a_missing_archive_is_named(tmp_path: Path, context: SourceContext) -> None:
    stories = {name: lines for name, lines in STORIES.items() if not name.startswith("Grimms")}
    with pytest.raises(UsageError, match=r"has no Grimms/agree-sent/\*\.agree; unpack Grimms\.tar\.gz"):
        source(context, publish(tmp_path / "a", stories))
