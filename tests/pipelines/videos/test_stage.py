from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.synthesis.videos import KINDS
from pipelines.videos.children import ChildError, Children
from pipelines.videos.files import VideoFiles, files_by_id
from schemas.store import FileInfo
from train.data.dataset import Dataset

Command = Callable[..., Any]
Publish = Callable[..., Path]
Made = Callable[..., Path]
KEPT = ("music_video", "fades", "dissolves")


def ids_of(count: int, artist: int = 0) -> list[str]:
    return [f"-a{artist:02d}{number:05d}_Z" for number in range(count)]


def words(folder: Path, videos: Path | None, out: Path, *more: str | Path) -> list[str | Path]:
    listed: list[str | Path] = ["build", "music_videos", "--set", f"source.path={folder}", "--out", out]
    return [*listed, *(("--set", f"videos.local={videos}") if videos else ()), *more]


def excluded(out: Path) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(out / "exclusions.parquet").to_pylist()
    return {row["id"]: (row["reason"], row["detail"]) for row in rows if row["stage"] == "videos"}


def two_music_videos(folder: Path, made: Made) -> list[str]:
    """Put them there; their ids."""
    folder.mkdir()
    ids = ids_of(2)
    for place, track in enumerate(ids):
        shutil.copy(made("music_video", place), folder / f"{track}.mp4")
    return ids


@pytest.fixture
def corpus(tmp_path: Path, publish: Publish, made: Made) -> tuple[Path, Path, dict[str, str]]:
    """Lists of four artists, a folder of videos of every kind, and the kind of each id."""
    videos = tmp_path / "videos"
    videos.mkdir()
    kinds: dict[str, str] = {}
    artists: dict[str, list[str]] = {}
    for artist in range(4):
        ids = ids_of(5, artist)
        artists[f"Band {artist}"] = ids
        for place, track in enumerate(ids):
            kind = "music_video" if place < 2 else KINDS[(3 * artist + place) % len(KINDS)]
            kinds[track] = kind
            shutil.copy(made(kind, place % 4), videos / f"{track}.mp4")
    return publish(artists), videos, kinds


def test_videos_that_are_there_are_filtered_and_become_features(
    tmp_path: Path, command: Command, corpus: tuple[Path, Path, dict[str, str]], small_clip: Path
) -> None:
    folder, videos, kinds = corpus
    out = tmp_path / "out"
    model = ("--set", f"features.clip.path={small_clip}")
    ran = command(*words(folder, videos, out, *model))
    assert ran.code == 0, ran.err
    kept = {track for track, kind in kinds.items() if kind in KEPT}
    assert {track: reason for track, (reason, _) in excluded(out).items()} == {
        track: kind for track, kind in kinds.items() if track not in kept
    }
    rows = {row["track_id"]: row for row in pq.read_table(out / "videos.parquet").to_pylist()}
    assert set(rows) == set(kinds)
    assert {track for track, row in rows.items() if row["kind"] == "music_video"} == kept
    for name in ("labels", "splits"):
        assert set(pq.read_table(out / f"{name}.parquet").column("track_id").to_pylist()) == kept, name
    for name in ("waveform", "clip"):
        shards = [pq.read_table(path).drop(["data"]) for path in sorted((out / "features" / name).iterdir())]
        assert {track for shard in shards for track in shard.column("track_id").to_pylist()} == kept, name
    clip = pq.read_table(out / "features/clip")
    # 42 s of pictures: the two whole segments of 15 s in their middle, a vector a second.
    assert clip.column("frames").to_pylist() == [15] * len(clip) and len(clip) == 2 * len(kept)
    assert sorted(set(clip.column("start_s").to_pylist())) == pytest.approx([6.0, 21.0], abs=0.05)
    # A trainer reads both at the same seconds.
    joined = Dataset(str(out)).joined(["waveform", "clip"])
    assert set(joined.spans) == kept and {len(spans) for spans in joined.spans.values()} == {2}
    read = joined.read([joined.random_crop(track, 6.0, seed=0, epoch=1) for track in sorted(kept)])
    assert read["waveform"].shape == (len(kept), 6 * 16_000) and read["clip"].shape == (len(kept), 6, 512)
    assert command("verify", out, "--deep").code == 0

    # The same receipt with two workers, from a folder of another name, and after a build that was killed.
    moved = tmp_path / "moved"
    shutil.copytree(videos, moved)
    other = tmp_path / "other"
    typed = [str(word) for word in words(folder, moved, other, *model, "--workers", "2")]
    running = subprocess.Popen(
        [sys.executable, "-m", "tracklore", *typed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list((other / ".work/videos").glob("*.json"))) < 1:
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert not (other / "videos.parquet").exists()
    finished = command(*typed)
    assert finished.code == 0, finished.err
    assert (out / "receipt.json").read_bytes() == (other / "receipt.json").read_bytes()

    # What stands is not made again, and nothing says where it came from.
    assert "make" not in command(*words(folder, videos, out, *model, "--dry-run")).out
    assert str(tmp_path) not in (out / "receipt.json").read_text("utf-8")
    assert command("verify", out).code == 0


def test_a_plan_tells_that_downloads_are_not_reckoned(tmp_path: Path, command: Command, publish: Publish) -> None:
    asked = words(publish({"One": ids_of(2)}), None, tmp_path / "out", "--only", "videos", "--dry-run")
    fetched = command(*asked, "--set", "videos.download=true")
    assert "Not reckoned: downloads of videos." in fetched.out
    (tmp_path / "videos").mkdir()
    assert "Not reckoned" not in command(*asked, "--set", f"videos.local={tmp_path / 'videos'}").out


def test_a_damaged_table_of_tracks_is_planned_and_mended(
    tmp_path: Path, command: Command, publish: Publish, made: Made
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    ids = two_music_videos(videos, made)
    asked = words(publish({"One": ids}), videos, out, "--only", "videos")
    assert command(*asked).code == 0
    receipt, table = (out / "receipt.json").read_bytes(), out / "tracks.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    told = command(*asked, "--dry-run")
    assert told.code == 0, told.err
    assert "tracks.parquet" in told.out
    mended = command(*asked)
    assert mended.code == 0, mended.err
    assert (out / "receipt.json").read_bytes() == receipt


def test_other_files_only_are_looked_through_again(
    tmp_path: Path, command: Command, publish: Publish, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    ids = ids_of(3)
    for place, track in enumerate(ids[:2]):
        shutil.copy(made("music_video", place), videos / f"{track}.mp4")
    asked = words(publish({"One": ids}), videos, out, "--only", "videos")
    assert command(*asked).code == 0
    assert excluded(out) == {ids[2]: ("missing_file", "videos.local has no file of that name")}
    before = pq.read_table(out / "videos.parquet").to_pylist()
    seen: list[Any] = []
    call = Children.call

    def counted(self: Children, function: str, request: Any, limit_s: float, *more: int) -> Any:
        seen.append((function, request.get("video")))
        return call(self, function, request, limit_s, *more)

    monkeypatch.setattr(Children, "call", counted)
    shutil.copy(made("still_image", 0), videos / f"{ids[2]}.mp4")
    assert command(*asked).code == 0
    examined = [video for function, video in seen if function.endswith("examine")]
    assert examined == [str(videos / f"{ids[2]}.mp4")]
    assert pq.read_table(out / "videos.parquet").to_pylist()[:2] == before
    assert excluded(out)[ids[2]][0] == "still_image"


@pytest.mark.parametrize(
    ("deaths", "reason", "tries"),
    [
        ([signal.SIGKILL], None, 2),
        ([signal.SIGKILL] * 2, "out_of_memory", 2),
        ([signal.SIGKILL, signal.SIGSEGV], "decoder_died", 2),
        ([None], "timed_out", 1),
    ],
)
def test_a_video_whose_child_is_killed_is_tried_again(
    deaths: list[int | None],
    reason: str | None,
    tries: int,
    tmp_path: Path,
    command: Command,
    publish: Publish,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    ids = two_music_videos(videos, made)
    asked = words(publish({"One": ids}), videos, out, "--only", "tags,splits")
    call, waiting, seen = Children.call, list(deaths), []

    def killed(self: Children, function: str, request: Any, limit_s: float, *more: int) -> Any:
        if not function.endswith(":examine"):
            return call(self, function, request, limit_s, *more)
        seen.append(Path(request["video"]).stem)
        if seen[-1] != ids[1] or not waiting:
            return call(self, function, request, limit_s, *more)
        number = waiting.pop(0)
        if number is None:
            return call(self, "time:sleep", 60, 0.3)
        return call(self, "signal:raise_signal", int(number), limit_s)

    monkeypatch.setattr(Children, "call", killed)
    assert command(*asked).code == 0
    assert seen == [ids[0], *[ids[1]] * tries]
    if reason is None:
        assert excluded(out) == {}
        return
    assert excluded(out)[ids[1]][0] == reason and "--retry" in excluded(out)[ids[1]][1]
    receipt = (out / "receipt.json").read_bytes()
    assert command(*asked).code == 0 and len(seen) == 1 + tries  # what stands is not tried unasked
    assert (out / "receipt.json").read_bytes() == receipt
    assert command(*asked, "--retry").code == 0
    assert seen[1 + tries :] == [ids[1]] and excluded(out) == {}
    for name in ("labels", "splits"):
        assert set(pq.read_table(out / f"{name}.parquet").column("track_id").to_pylist()) == set(ids)
    assert command(*asked, "--retry").code == 0 and len(seen) == 2 + tries
    never = tmp_path / "never"
    assert command(*words(tmp_path / "lists", videos, never, "--only", "tags,splits")).code == 0
    assert (out / "receipt.json").read_bytes() == (never / "receipt.json").read_bytes()


def test_without_videos_tags_and_splits_are_built_and_features_say_what_to_set(
    tmp_path: Path, command: Command, publish: Publish
) -> None:
    folder = publish({f"Band {artist}": ids_of(3, artist) for artist in range(6)})
    ran = command(*words(folder, None, tmp_path / "a", "--only", "tags,splits"))
    assert ran.code == 0, ran.err
    assert len(pq.read_table(tmp_path / "a/labels.parquet")) == 18
    asked = command(*words(folder, None, tmp_path / "b"))
    assert asked.code == 2 and len(asked.err.splitlines()) == 1
    assert "set videos.local=DIR or videos.download=true, or build with --only tags,splits" in asked.err


def test_nothing_that_stays_is_an_error_that_says_why(
    tmp_path: Path, command: Command, publish: Publish, made: Made
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (track,) = ids_of(1)
    empty = command(*words(publish({"One": [track]}), videos, tmp_path / "out", "--only", "videos"))
    assert empty.code == 2 and "holds no videos named by their ids" in empty.err
    shutil.copy(made("still_image"), videos / f"{track}.mp4")
    ran = command(*words(publish({"One": [track]}), videos, tmp_path / "out", "--only", "videos"))
    assert ran.code == 1 and f"the first is {track}: still_image" in ran.err


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("videos.download=true", "local and download exclude each other"),
        ("videos.url=https://example.org/", "with {id} once"),
        ("videos.url=file:///{id}", "with {id} once"),
        ("videos.filter.detector=eyes", "videos.filter.detector"),
        ("videos.filter.threshhold=3", "did you mean 'threshold'"),
        ("videos.local=nowhere", "is no folder; set it with --set videos.local=DIR"),
    ],
)
def test_settings_that_cannot_be(
    setting: str, problem: str, tmp_path: Path, command: Command, publish: Publish
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    ran = command(*words(publish({"One": ids_of(1)}), videos, tmp_path / "out", "--set", setting))
    assert ran.code == 2 and problem in ran.err and len(ran.err.splitlines()) <= 2


def test_a_link_that_leads_out_is_excluded(tmp_path: Path, command: Command, publish: Publish, made: Made) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    ids = ids_of(2)
    shutil.copy(made("music_video"), videos / f"{ids[0]}.mp4")
    (videos / f"{ids[1]}.mp4").symlink_to(made("music_video", 1))
    out = tmp_path / "out"
    assert command(*words(publish({"One": ids}), videos, out, "--only", "videos")).code == 0
    assert excluded(out)[ids[1]][0] == "outside_source"


def test_which_files_are_whose() -> None:
    names = ["aaaaaaaaaaa.mp4", "bbbbbbbbbbb.audio.webm", "bbbbbbbbbbb.video.webm", "ccccccccccc.f140.m4a"]
    names += [
        "ccccccccccc.f134.mp4",
        "sub/A song [ddddddddddd].mkv",
        "eeeeeeeeeee.mp3",
        ".partial/fffffffffff/1.mp4",
    ]
    names += ["ggggggggggg.txt", "ddddddddddd.opus"]
    found = files_by_id(FileInfo(name, 1, "") for name in names)
    assert found["aaaaaaaaaaa"] == VideoFiles("aaaaaaaaaaa.mp4", "aaaaaaaaaaa.mp4")
    assert found["bbbbbbbbbbb"] == VideoFiles("bbbbbbbbbbb.audio.webm", "bbbbbbbbbbb.video.webm")
    assert found["ccccccccccc"] == VideoFiles("ccccccccccc.f140.m4a", "ccccccccccc.f134.mp4")
    assert found["ddddddddddd"] == VideoFiles("ddddddddddd.opus", "sub/A song [ddddddddddd].mkv")
    assert found["eeeeeeeeeee"] == VideoFiles("eeeeeeeeeee.mp3", None)
    assert "fffffffffff" not in found and "ggggggggggg" not in found


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("signal:raise_signal", "SIGSEGV"),
        ("time:sleep", "no end within 0.5 s"),
        ("os:_exit", "ended with 7"),
        ("json:loads", "TypeError"),
    ],
)
def test_a_child_that_dies_or_hangs_costs_its_call_and_no_more(function: str, problem: str) -> None:
    children = Children()
    requests: dict[str, Any] = {"time:sleep": 60, "os:_exit": 7, "signal:raise_signal": 11, "json:loads": 1}
    children.call("operator:neg", 1, 30)
    started = time.monotonic()
    with pytest.raises(ChildError, match=problem):
        children.call(function, requests[function], 0.5)
    assert time.monotonic() - started < 10
    assert children.call("operator:neg", 5, 30) == -5
    children.end()


def test_the_recipe_names_no_place_and_no_secret(
    tmp_path: Path, command: Command, publish: Publish, small_clip: Path
) -> None:
    folder = publish({f"Band {artist}": ids_of(3, artist) for artist in range(4)})
    plain, told = tmp_path / "plain", tmp_path / "told"
    asked = ("--only", "source")
    assert command(*words(folder, None, plain, *asked)).code == 0
    more = (
        "--set",
        "videos.proxy=http://a:hush@b",
        "--set",
        "videos.retries=9",
        "--set",
        f"features.clip.path={small_clip}",
    )
    assert command(*words(folder, None, told, *asked, *more)).code == 0
    for secret in ("hush", str(small_clip)):
        assert secret not in (told / "receipt.json").read_text("utf-8")
    assert json.loads((told / "receipt.json").read_bytes()) == json.loads((plain / "receipt.json").read_bytes())


TYPED = """
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
videos: {local: PATH/videos}
tags: {min_tracks: 1, rules: none, max_tags_per_track: 3}
splits: {ratios: {train: 0.8, valid: 0.1, test: 0.1}}
"""


def test_tags_are_counted_of_the_videos_that_stay(tmp_path: Path, command: Command, made: Made) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    lines = ["id,artist,title,tags"]
    for track, kind, tags in (
        ("one", "music_video", "rock|jazz"),
        ("two", "slide_show", "gone|rock|never"),
        ("three", "fades", "jazz|sad|slow|loud"),
        ("four", "music_video", "rock"),
    ):
        shutil.copy(made(kind, 0), videos / f"{track}.mp4")
        lines.append(f"{track},by {track},a title,{tags}")
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "typed.yaml").write_text(TYPED.replace("PATH", str(tmp_path)), "utf-8")
    out = tmp_path / "out"
    ran = command("build", tmp_path / "typed.yaml", "--out", out, "--only", "videos,tags")
    assert ran.code == 0, ran.err
    funnel = json.loads((out / "receipt.json").read_text("utf-8"))["stages"]["tags"]["funnel"]
    told = {step["step"]: (step["tracks"], step["annotations"], step["tags"]) for step in funnel}
    # Of 10 annotations with 7 tags the slide show has 3, and two tags of its own; one track has too many tags.
    assert told["annotated"] == (3, 7, 5)
    assert told["at most 3 tags a track"] == (2, 3, 2)
