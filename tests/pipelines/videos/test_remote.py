"""Videos in a bucket become what those in a folder become, and one that cannot be read is an exclusion."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow.parquet as pq
import pytest

from schemas.store import Store
from tests.object_store import object_store, use_store

Command = Callable[..., Any]
Publish = Callable[..., Path]
Made = Callable[..., Path]
IDS = [f"-remote{number:03d}_" for number in range(4)]
FEATURES = (
    "features={waveform: {kind: waveform, segments: {span_s: 30, count: 2, segment_s: 15}}, "
    "pictures: {kind: colour_layout, segments: {span_s: 30, count: 2, segment_s: 15}}}"
)


class ClientError(Exception):
    """As clients of stores raise: no OSError."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with object_store() as address:
        use_store(address, monkeypatch)
        fsspec.filesystem("s3").makedirs("filmed", exist_ok=True)
        yield "s3://filmed/videos"


@pytest.fixture
def videos(tmp_path: Path, made: Made) -> Path:
    """A folder of two music videos, one of them in two files, and a still picture; a fourth is not there."""
    store = Store(str(tmp_path / "videos"))
    store.write_bytes(f"{IDS[0]}.mp4", made("music_video", 0).read_bytes())
    for part in ("audio", "video"):
        store.write_bytes(f"below/{IDS[1]}.{part}.mp4", made("music_video", 1).read_bytes())
    store.write_bytes(f"{IDS[2]}.mp4", made("still_image", 0).read_bytes())
    return tmp_path / "videos"


def copied(videos: Path, root: str) -> str:
    here, there = Store(str(videos)), Store(root)
    for info in here.list():
        there.write_bytes(info.path, here.read_bytes(info.path))
    return root


def words(lists: Path, videos: str | Path, out: Path, *more: str) -> list[str | Path]:
    given = ("--set", f"source.path={lists}", "--set", f"videos.local={videos}", "--set", FEATURES)
    return ["build", "music_videos", "--out", out, *given, *more]


def excluded(out: Path) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(out / "exclusions.parquet").to_pylist()
    return {row["id"]: (row["reason"], row["detail"]) for row in rows if row["stage"] == "videos"}


def test_a_bucket_gives_the_receipt_of_a_folder(
    tmp_path: Path, command: Command, publish: Publish, videos: Path
) -> None:
    lists, root = publish({"One": IDS[:1], "Two": IDS[1:]}), copied(videos, f"memory://{uuid.uuid4().hex}")
    here = command(*words(lists, videos, tmp_path / "here"))
    assert here.code == 0, here.err
    asked = words(lists, root, tmp_path / "there")
    there = command(*asked)
    assert there.code == 0, there.err
    assert (tmp_path / "there/receipt.json").read_bytes() == (tmp_path / "here/receipt.json").read_bytes()
    assert pq.read_table(tmp_path / "there/storyboards.parquet").num_rows > 0
    assert {reason for reason, _ in excluded(tmp_path / "there").values()} == {"still_image", "missing_file"}

    # It stands, and another file is another one.
    assert "everything stands" in command(*asked).out
    Store(root).write_bytes(f"{IDS[0]}.mp4", Store(root).read_bytes(f"{IDS[2]}.mp4"))
    assert "videos" in command(*asked, "--dry-run").out.partition("was made from something else")[0]
    again = command(*asked, "--only", "videos")
    assert again.code == 0, again.err
    assert excluded(tmp_path / "there")[IDS[0]][0] == "still_image"


def test_workers_in_other_processes_read_an_object_store(
    bucket: str, tmp_path: Path, command: Command, publish: Publish, videos: Path
) -> None:
    lists, only = publish({"One": IDS[:1], "Two": IDS[1:]}), ("--only", "videos")
    assert command(*words(lists, videos, tmp_path / "here", *only)).code == 0
    engine = ("--direct_running_mode=multi_processing", "--workers", "2")
    asked = words(lists, copied(videos, bucket), tmp_path / "there", *only, *engine)
    there = command(*asked)
    assert there.code == 0, there.err
    assert (tmp_path / "there/receipt.json").read_bytes() == (tmp_path / "here/receipt.json").read_bytes()
    # What was read is remembered: a plan reads nothing.
    assert "stands" in command(*asked, "--dry-run").out


def failing(monkeypatch: pytest.MonkeyPatch, name: str, opening: int) -> None:
    """Let one opening of a file fail as a client's own error."""
    opened, count = Store.open, 0

    def open_(self: Store, relative: str) -> BinaryIO:
        nonlocal count
        if relative == name:
            count += 1
            if count == opening:
                raise ClientError("503\nthe bucket is slow down")
        return opened(self, relative)

    monkeypatch.setattr(Store, "open", open_)


@pytest.mark.parametrize("opening", [1, 2])
def test_a_video_that_cannot_be_read_is_an_exclusion_and_tried_again(
    opening: int,
    tmp_path: Path,
    command: Command,
    publish: Publish,
    videos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = copied(videos, f"memory://{uuid.uuid4().hex}")
    lists = publish({"One": IDS[:1], "Two": IDS[1:]})
    asked = words(lists, root, tmp_path / "out", "--only", "videos")
    with monkeypatch.context() as patch:
        failing(patch, f"{IDS[0]}.mp4", opening)
        ran = command(*asked)
    assert ran.code == 0, ran.err
    reason, detail = excluded(tmp_path / "out")[IDS[0]]
    assert reason == "unreadable"
    assert detail.startswith(f"{IDS[0]}.mp4: the bucket is slow down")
    again = command(*asked, "--retry")
    assert again.code == 0, again.err
    assert IDS[0] not in excluded(tmp_path / "out")


def test_a_picture_that_cannot_be_had_is_no_reason_to_stop(
    tmp_path: Path, command: Command, publish: Publish, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copied(videos, f"memory://{uuid.uuid4().hex}")
    failing(monkeypatch, f"{IDS[0]}.mp4", 3)
    lists = publish({"One": IDS[:1], "Two": IDS[1:]})
    ran = command(*words(lists, root, tmp_path / "out", "--only", "videos"))
    assert ran.code == 0, ran.err
    boards = set(pq.read_table(tmp_path / "out/storyboards.parquet").column("track_id").to_pylist())
    assert boards == {IDS[1], IDS[2]}
    assert IDS[0] not in excluded(tmp_path / "out")


def test_workers_elsewhere_need_a_store_that_they_can_see(
    tmp_path: Path, command: Command, publish: Publish, videos: Path
) -> None:
    root = copied(videos, f"memory://{uuid.uuid4().hex}")
    asked = words(publish({"One": IDS}), root, tmp_path / "out", "--direct_running_mode=multi_processing")
    ran = command(*asked)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert f"videos.local: {root}" in ran.err and "cannot see this store" in ran.err


def test_downloads_go_into_a_folder_of_this_machine(tmp_path: Path, command: Command, publish: Publish) -> None:
    given = ("--set", f"source.path={publish({'One': IDS})}", "--set", "videos.download=true")
    asked = command(
        "build", "music_videos", "--out", tmp_path / "out", *given, "--set", "videos.folder=memory://videos"
    )
    assert asked.code == 2
    assert asked.err.count("\n") == 1
    assert "videos.folder: memory://videos is no folder of this machine" in asked.err
    assert "build with videos.local=gs://" in asked.err
