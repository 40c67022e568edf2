from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.audioset_mood import AudioSetMood, AudioSetMoodSettings
from pipelines.sources.base import SourceContext
from schemas.errors import UsageError

# In the format of the published list, shortened.
CLASSES = """index,mid,display_name
0,/m/09x0r,"Speech"
137,/m/04rlf,"Music"
276,/t/dd00031,"Happy music"
277,/t/dd00032,"Funny music"
278,/t/dd00033,"Sad music"
279,/t/dd00034,"Tender music"
280,/t/dd00035,"Exciting music"
281,/t/dd00036,"Angry music"
282,/t/dd00037,"Scary music"
"""
HAPPY, SAD, SCARY = "/t/dd00031", "/t/dd00033", "/t/dd00037"
PARTS = {
    "eval": [f'-0RWZT-miFs, 420.000, 430.000, "/m/04rlf,{HAPPY}"', '--4gqARaEJE, 0.000, 10.000, "/m/09x0r"'],
    "balanced_train": [f'--PJHxphWEs, 30.000, 40.000, "{SAD},/m/04rlf,{SCARY}"'],
    "unbalanced_train": [
        '---1_cCGK4M, 0.000, 10.000, "/m/01g50p,/m/0284vy3"',
        f'---lTs1dxhU, 30.500, 40.500, "{HAPPY}"',
    ],
}


def publish(folder: Path, parts: dict[str, list[str]], classes: str = CLASSES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "class_labels_indices.csv").write_text(classes, "utf-8")
    for part, lines in parts.items():
        head = [
            "# Segments csv created Sun Mar  5 10:54:31 2017",
            f"# num_ytids={len(lines)}, num_segs={len(lines)}, num_unique_labels=527, num_positive_labels=52882",
            "# YTID, start_seconds, end_seconds, positive_labels",
        ]
        (folder / f"{part}_segments.csv").write_text("\n".join([*head, *lines]) + "\n", "utf-8")
    return folder


def source(context: SourceContext, folder: Path, **keys: Any) -> AudioSetMood:
    return AudioSetMood(AudioSetMoodSettings(kind="audioset_mood", path=str(folder), **keys), context)


def test_segments_with_a_mood_are_tracks(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "csv", PARTS)).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert set(rows) == {"-0RWZT-miFs_420000", "--PJHxphWEs_30000", "---lTs1dxhU_30500"}
    row = rows["---lTs1dxhU_30500"]
    assert (row["video_uri"], row["artist_id"], row["recording_id"]) == ("---lTs1dxhU",) * 3
    assert (row["start_s"], row["end_s"], row["duration_s"]) == (30.5, 40.5, 10.0)
    assert row["audio_uri"] == "---lTs1dxhU.wav"
    assert row["artist_name"] is None
    assert [(r["track_id"], r["raw_tag"]) for r in tables.annotations.to_pylist()] == [
        ("---lTs1dxhU_30500", "Happy music"),
        ("--PJHxphWEs_30000", "Sad music"),
        ("--PJHxphWEs_30000", "Scary music"),
        ("-0RWZT-miFs_420000", "Happy music"),
    ]
    assert tables.published is not None
    assert {r["track_id"]: r["split"] for r in tables.published.to_pylist()} == {
        "-0RWZT-miFs_420000": "test",
        "--PJHxphWEs_30000": "train",
        "---lTs1dxhU_30500": "train",
    }


def test_lists_may_be_left_out_and_files_named_otherwise(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "csv", {"eval": PARTS["eval"]})
    found = source(context, folder, parts=["eval"], audio_name="eval/Y{youtube}_{start}.flac").read()
    assert found.tracks.column("audio_uri").to_pylist() == ["eval/Y-0RWZT-miFs_420.flac"]
    with pytest.raises(UsageError, match=r"has no balanced_train_segments\.csv; 22,160 segments"):
        source(context, folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'abc, 0.000, 10.000, "{HAPPY}"', "line 6: 'abc' is no id of YouTube"),
        (f'-0RWZT-miFt, soon, 10.000, "{HAPPY}"', "line 6: start_seconds 'soon' is no number"),
        (f"-0RWZT-miFt, 0.000, 10.000, {HAPPY},{SAD}", "line 6: 5 cells, and 4 are published"),
        (f'-0RWZT-miFt, 0.000, 10.000, "{HAPPY}', "line 6: unexpected end of data"),
    ],
)
def test_a_segment_that_is_not_as_published_is_named(
    line: str, message: str, tmp_path: Path, context: SourceContext
) -> None:
    folder = publish(tmp_path / "csv", {**PARTS, "eval": [*PARTS["eval"], line]})
    with pytest.raises(UsageError, match=rf"eval_segments\.csv: {message}"):
        source(context, folder).read()


def test_other_files_are_named(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "csv", PARTS)
    (folder / "eval_segments.csv").write_text("segment_id\tstart_time_seconds\n", "utf-8")
    with pytest.raises(UsageError, match=r"eval_segments\.csv: line 1: not the three published lines with #"):
        source(context, folder).read()
    folder = publish(tmp_path / "csv", PARTS, CLASSES.replace("Scary", "Spooky"))
    with pytest.raises(UsageError, match=r"class_labels_indices\.csv: no class 'Scary music'"):
        source(context, folder).read()


def test_the_recipe_builds_and_tells_of_the_leaks(tmp_path: Path, audited: Callable[..., Any]) -> None:
    parts: dict[str, list[str]] = {"eval": [], "balanced_train": [], "unbalanced_train": []}
    for number in range(40):
        part = ("unbalanced_train", "unbalanced_train", "balanced_train", "eval")[number % 4]
        parts[part].append(f'video{number:06d}, 0.000, 10.000, "/m/04rlf,/t/dd0003{1 + number % 3}"')
    # Another ten seconds of a video of train.
    parts["eval"].append(f'video000000, 60.000, 70.000, "{HAPPY}"')
    found = audited("audioset_mood", publish(tmp_path / "csv", parts))
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.shared("published", "recordings")) == (1, 1)
    assert found.strict == 1
    assert found.sizes("published") == {"train": 30, "test": 11}
