from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.music_videos import MusicVideos, MusicVideosSettings
from schemas.errors import UsageError

Command = Callable[..., Any]
DRAKE, ADELE = "3TVXtAsR1Inumwj472S9r4", "4dpARuHxo51G3z768sgnrY"


def video(number: int) -> str:
    return f"-_{number:07d}Aa"


def header(name: str, spotify: str) -> str:
    return f"# new artist:\t{name}\t{spotify}"


def publish(folder: Path, *lists: list[str], choice: list[str] | None = None) -> Path:
    """As published: an empty line before and behind each header."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, lines in enumerate(lists):
        parts = [f"\n{line}\n\n" if line.startswith("#") else f"{line}\n" for line in lines]
        path = folder / f"youtube_video_ids_{number:02d}_{206947 + number}.txt"
        path.write_text("".join(parts), "utf-8")
    if choice is not None:
        (folder / "video_list.txt").write_text("\n".join(choice) + "\n", "utf-8")
    return folder


def source(context: SourceContext, folder: Path, **keys: Any) -> MusicVideos:
    return MusicVideos(MusicVideosSettings(kind="music_videos", path=str(folder), **keys), context)


def rows(path: Path) -> dict[str, dict[str, Any]]:
    return {row["track_id"]: row for row in pq.read_table(path).to_pylist()}


def artists(first: int, count: int, videos: int) -> list[str]:
    lines = []
    for artist in range(first, first + count):
        lines.append(header(f"Artist No {artist}", f"{artist:022d}"))
        lines += [video(1000 * artist + n) for n in range(videos)]
    return lines


def test_the_lists_through_the_command(tmp_path: Path, command: Command) -> None:
    first = [header("Drake", DRAKE), "3t195yz9xCc", "VkXjvHfP3MM", "not an id!", "toolongtobeanid", video(0)]
    second = [header("Adele", ADELE), "rYEDA3JcQqw", video(0), video(0)]
    folder = publish(
        tmp_path / "v", [*first, *artists(10, 8, 6)], [*second, *artists(20, 8, 6)], [header("X", DRAKE)]
    )
    out = tmp_path / "out"
    ran = command("build", "music_videos", "--set", f"source.path={folder}", "--out", out, "--only", "tags,splits")
    assert ran.code == 0, ran.err
    tracks = rows(out / "tracks.parquet")
    assert len(tracks) == 4 + 96
    drake, both = tracks["3t195yz9xCc"], tracks[video(0)]
    assert (drake["artist_id"], drake["artist_name"], drake["video_uri"]) == (DRAKE, "Drake", "3t195yz9xCc")
    assert (both["artist_id"], both["collaborators"]) == (DRAKE, [ADELE])
    excluded = pq.read_table(out / "exclusions.parquet").to_pylist()
    assert sorted(row["detail"] for row in excluded) == [
        "line 6: 'not an id!' is no video id",
        "line 7: 'toolongtobeanid' is no video id",
    ]
    notes = " ".join(json.loads((out / "receipt.json").read_text("utf-8"))["stages"]["source"]["notes"])
    assert f"1 videos are listed under several artists: one track each, such as {video(0)} by Drake, Adele" in notes
    splits = pq.read_table(out / "splits.parquet").to_pylist()
    default = {row["track_id"]: row["split"] for row in splits if row["scheme"] == "default"}
    assert set(default.values()) == {"train", "valid", "test"}
    by_artist = {(tracks[track]["artist_id"], split) for track, split in default.items()}
    assert len(by_artist) == len({row["artist_id"] for row in tracks.values()}) == 18
    drawn = [row["split"] for row in splits if row["scheme"] == "published"]
    assert [drawn.count(split) for split in ("train", "valid", "test")] == [80, 10, 10]
    # A split by video tears artists apart: the audit says so, and it is no error.
    audit = command("audit", out)
    assert audit.code == 0
    assert "warning: the split 'published' shares" in audit.out and "by track" in notes


def test_vcmr_s_choice_takes_its_artists_from_the_lists(tmp_path: Path, context: SourceContext) -> None:
    choice = [video(10_001), "VkXjvHfP3MM", video(10_001), "bad id"]
    with_lists = source(context, publish(tmp_path / "a", artists(10, 2, 4), choice=choice)).read()
    found = {row["track_id"]: row for row in with_lists.tracks.to_pylist()}
    assert set(found) == {video(10_001), "VkXjvHfP3MM"}
    assert found[video(10_001)]["artist_name"] == "Artist No 10"
    assert (found["VkXjvHfP3MM"]["artist_id"], found["VkXjvHfP3MM"]["title"]) == ("VkXjvHfP3MM", None)
    assert [row["id"] for row in with_lists.exclusions.to_pylist()] == ["video_list.txt:4"]
    assert "1 videos of video_list.txt are in none of the lists" in with_lists.notes[0]
    alone = source(context, publish(tmp_path / "b", choice=choice)).read()
    assert alone.tracks.num_rows == 2
    assert "names no artists" in alone.notes[0]


def test_other_lists_by_pattern_and_the_readme_s_spaces(tmp_path: Path, context: SourceContext) -> None:
    lists = [artists(1, 1, 2), artists(2, 1, 2), [f"# new artist: The  Band Of 9 {DRAKE}", "3t195yz9xCc"]]
    folder = publish(tmp_path / "repo/youtube_ids", *lists).parent
    assert source(context, folder).read().tracks.num_rows == 4
    third = source(context, folder, lists=["youtube_ids/*_02_*.txt"]).read().tracks.to_pylist()
    assert [(row["artist_name"], row["artist_id"]) for row in third] == [("The  Band Of 9", DRAKE)]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["3t195yz9xCc"], r"line 1: a video before the first '# new artist:'; is it video_list\.txt\?"),
        (["# new artist:\tDrake", "3t195yz9xCc"], "line 2: .* is not '# new artist:<tab>name<tab>spotify id'"),
        (["# a comment"], "line 2: '# a comment' is not"),
    ],
)
def test_a_list_without_its_headers_is_named(
    lines: list[str], problem: str, tmp_path: Path, context: SourceContext
) -> None:
    with pytest.raises(UsageError, match=problem):
        source(context, publish(tmp_path, lines)).read()


def test_a_folder_without_lists_is_named(tmp_path: Path, context: SourceContext) -> None:
    with pytest.raises(UsageError, match=r"has neither video_list\.txt nor \*youtube_video_ids_00_\*\.txt"):
        source(context, tmp_path)
