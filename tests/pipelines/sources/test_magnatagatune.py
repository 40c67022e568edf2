from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.magnatagatune import BROKEN_CLIPS, MagnaTagATune
from pipelines.sources.published_files import PublishedFilesSettings
from schemas.errors import UsageError

CLIP_COLUMNS = (
    "clip_id",
    "track_number",
    "title",
    "artist",
    "album",
    "url",
    "segmentStart",
    "segmentEnd",
    "original_url",
    "mp3_path",
)
TAGS = ("no voice", "singer", "guitar", "classical", "female vocals", "not rock")
Clip = dict[str, str]


def clip(number: int, artist: str, song: int, start: int, folder: str, **changes: str) -> Clip:
    name = artist.lower().replace(" ", "_")
    row = dict(
        zip(
            CLIP_COLUMNS,
            (
                str(number),
                f"{song:02d}",
                f"Song {song}",
                artist,
                f"Album of {artist}",
                f"http://www.magnatune.com/artists/albums/{name}/",
                str(start),
                str(start + 29),
                f"http://he3.magnatune.com/all/{song:02d}-{name}.mp3",
                f"{folder}/{name}-album-{song:02d}-song-{start}-{start + 29}.mp3",
            ),
            strict=True,
        )
    )
    return row | changes


def publish(folder: Path, clips: list[Clip], tags: dict[str, list[str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "clip_info_final.csv").open("w", newline="", encoding="utf-8") as stream:
        info = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        info.writerow(CLIP_COLUMNS)
        info.writerows(row.values() for row in clips)
    path_of = {row["clip_id"]: row["mp3_path"] for row in clips}
    with (folder / "annotations_final.csv").open("w", newline="", encoding="utf-8") as stream:
        said = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        said.writerow(["clip_id", *TAGS, "mp3_path"])
        for clip_id, found in tags.items():
            said.writerow([clip_id, *(int(tag in found) for tag in TAGS), path_of.get(clip_id, "0/none.mp3")])
    return folder


CLIPS = [
    clip(2, "American Bach Soloists", 1, 30, "f"),
    clip(6, "American Bach Soloists", 1, 146, "f"),
    clip(10, "Norine Braun", 3, 0, "0"),
    clip(11, "Norine Braun", 4, 0, "c"),
    clip(12, "Nobody Heard", 4, 0, "", mp3_path=""),
]
SAID = {"2": ["classical"], "6": ["classical", "no voice"], "10": ["guitar", "female vocals"], "11": []}


def source(context: SourceContext, folder: Path, **keys: Any) -> MagnaTagATune:
    return MagnaTagATune(PublishedFilesSettings(kind="magnatagatune", path=str(folder), **keys), context)


def test_clips_of_one_song_are_one_recording(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "csv", CLIPS, SAID)).read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert list(rows) == ["10", "11", "2", "6"]
    assert rows["2"]["recording_id"] == rows["6"]["recording_id"] == rows["6"]["parent_id"]
    assert rows["10"]["recording_id"] != rows["11"]["recording_id"]
    assert rows["10"]["artist_id"] == rows["11"]["artist_id"]
    assert (rows["6"]["start_s"], rows["6"]["end_s"], rows["6"]["duration_s"]) == (146.0, 175.0, 29.0)
    assert rows["2"]["audio_uri"] == "f/american_bach_soloists-album-01-song-30-59.mp3"
    assert (rows["2"]["title"], rows["2"]["artist_name"]) == ("Song 1", "American Bach Soloists")
    said = [(row["track_id"], row["raw_tag"]) for row in tables.annotations.to_pylist()]
    assert said == [
        ("10", "female vocals"),
        ("10", "guitar"),
        ("2", "classical"),
        ("6", "classical"),
        ("6", "no voice"),
    ]
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [("12", "no_audio")]


def test_both_splits_in_use_are_kept(tmp_path: Path, context: SourceContext) -> None:
    published = source(context, publish(tmp_path / "csv", CLIPS, SAID)).read().published
    assert published is not None
    assert {(r["scheme"], r["track_id"]): r["split"] for r in published.to_pylist()} == {
        ("published", "2"): "test",
        ("published", "6"): "test",
        ("published", "10"): "train",
        ("published", "11"): "valid",
        ("published_21k", "2"): "test",
        ("published_21k", "6"): "test",
        ("published_21k", "10"): "train",
    }


@pytest.mark.parametrize("folder", "0123456789abcdef")
def test_folders_are_the_split(folder: str, tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "csv", [clip(1, "A", 1, 0, folder)], {"1": ["guitar"]})).read()
    assert tables.published is not None
    assert set(tables.published.column("split").to_pylist()) == {
        "train" if folder <= "b" else "valid" if folder == "c" else "test"
    }


@pytest.mark.parametrize("kind", ["U", "S"])
def test_the_lists_of_the_21k_split_are_read_where_they_are(
    kind: str, tmp_path: Path, context: SourceContext
) -> None:
    folder = publish(tmp_path / "csv", CLIPS, SAID)
    path = {row["clip_id"]: row["mp3_path"] for row in CLIPS}
    lists = {"train": [f"0\t{path['2']}"], "valid": [f"7\t{path['10']}"], "test": ["9\tf/not-here.mp3"]}
    for part, entries in lists.items():
        np.save(folder / f"{part}.npy", np.array(entries).astype(kind))
    tables = source(context, folder).read()
    assert tables.published is not None
    rows = [(r["track_id"], r["split"]) for r in tables.published.to_pylist() if r["scheme"] == "published_21k"]
    assert rows == [("10", "valid"), ("2", "train")]
    assert "1 entries of the lists of published_21k name no clip that is here" in tables.notes
    (folder / "valid.npy").unlink()
    with pytest.raises(UsageError, match=r"train\.npy: .*valid\.npy is not beside"):
        source(context, folder).read()


def test_lists_that_are_no_text_are_refused(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "csv", CLIPS, SAID)
    for part in ("train", "valid", "test"):
        np.save(folder / f"{part}.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"train\.npy: is no \.npy array of text \(Object arrays"):
        source(context, folder).read()
    np.save(folder / "train.npy", np.arange(3))
    with pytest.raises(UsageError, match=r"train\.npy: is an array of int64"):
        source(context, folder).read()


def test_the_clips_that_are_published_broken_are_left_out(tmp_path: Path, context: SourceContext) -> None:
    broken = [
        clip(n, f"A{n}", 1, 0, "6", mp3_path=path)
        for n, path in zip((35644, 55753, 57881), sorted(BROKEN_CLIPS), strict=True)
    ]
    said = {row["clip_id"]: ["guitar"] for row in broken}
    tables = source(context, publish(tmp_path / "csv", [*CLIPS, *broken], {**SAID, **said})).read()
    left = {row["id"]: row["reason"] for row in tables.exclusions.to_pylist()}
    assert left == {"12": "no_audio", "35644": "decode_error", "55753": "decode_error", "57881": "decode_error"}
    assert tables.tracks.num_rows == 4


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("annotations_final.csv", '"0"\t"1"', '"0"\t"2"', r"line 2: 'classical' is '2', and 0 or 1"),
        ("annotations_final.csv", '"clip_id"', '"clip"', r"line 1: no column 'clip_id' in the published header"),
        ("annotations_final.csv", '"6"', '"2"', r"line 3: clip 2 stands twice"),
        (
            "annotations_final.csv",
            "f/american",
            "e/american",
            r"line 2: mp3_path 'e/.*' is 'f/.*' in the clip info",
        ),
        ("clip_info_final.csv", '"30"', '"soon"', r"line 2: segmentStart 'soon' is no number"),
        ("clip_info_final.csv", '"59"', '"30"', r"line 2: the segment ends at 30, and starts at 30"),
        ("clip_info_final.csv", '\t"59"', "", r"line 2: 9 cells, and 10 are published"),
    ],
)
def test_what_is_not_as_published_is_named(
    file: str, old: str, new: str, message: str, tmp_path: Path, context: SourceContext
) -> None:
    folder = publish(tmp_path / "csv", CLIPS, SAID)
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(UsageError, match=rf"{file}: {message}"):
        source(context, folder).read()


def test_a_clip_without_its_row_in_the_clip_info_is_told(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "csv", CLIPS, {**SAID, "99": ["guitar"]})).read()
    assert ("99", "invalid_row") in {(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()}


def test_the_recipe_builds_and_tells_of_the_leaks(tmp_path: Path, audited: Callable[..., Any]) -> None:
    folders = "0123456789abcdef"
    clips = [
        clip(100 * artist + 10 * song + n, f"Artist {artist}", song, 29 * n, folders[artist % 16])
        for artist in range(24)
        for song in range(2)
        for n in range(2)
    ]
    # One more album of artist 0, of train, lies in a folder of test; and a clip of one of its songs, too.
    clips.append(clip(9000, "Artist 0", 7, 0, "f"))
    clips.append(clip(9001, "Artist 1", 0, 500, "d"))
    said = {row["clip_id"]: [TAGS[(int(row["clip_id"]) // 100) % 3]] for row in clips}
    found = audited("magnatagatune", publish(tmp_path / "csv", clips, said))
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.shared("published", "recordings")) == (2, 1)
    assert found.strict == 1
    assert "the split 'published' shares 3 artists or recordings" in found.error
    assert sum(found.sizes("published_21k").values()) == len(clips)
