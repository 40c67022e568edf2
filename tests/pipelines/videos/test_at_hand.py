"""Videos in a store that is no folder of this machine are looked through as those that are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.tasks import TaskContext
from pipelines.videos.examine_task import examine_videos
from pipelines.videos.storyboards import draw_storyboards
from schemas.manifest import VideosSection
from schemas.store import Store


def looked_through(root: str, out: Path) -> Any:
    section = VideosSection()
    request = {"filter": section.filter.model_dump(mode="json"), "max_duration_s": section.max_duration_s}
    shared = {"root": root, "request": request, "limit_s": 120.0, "bytes": 2 << 30}
    context = TaskContext(Store(str(out)), shared, 1, "videos")
    return examine_videos(context, {"videos": [["one", "a.mp4", "a.mp4"]]})["videos"]


def test_a_remote_store_gives_what_a_folder_gives(made: Callable[[str, int], Path], tmp_path: Path) -> None:
    folder, remote = Store(str(tmp_path / "videos")), Store("memory://at-hand")
    for store in (folder, remote):
        store.write_bytes("a.mp4", made("music_video", 0).read_bytes())
    here, there = (looked_through(store.root, tmp_path / "out") for store in (folder, remote))
    assert here == there
    assert here[0][1]["kind"] == "music_video"
    rows = [{"track_id": "one", "video_uri": "a.mp4", **here[0][1]}]
    assert draw_storyboards(folder, rows) == draw_storyboards(remote, rows) != []
