"""Ids of videos that are something else."""

from __future__ import annotations

from tests.faults.bad_inputs.sandbox import Sandbox
from tests.faults.tally import share_of

IDS = (
    "--exec=touch canary",
    "--exec",
    "-o../../x",
    "--config-l",
    "http://169.254.169.254/latest",
    "file:///etc/passwd",
    "../../../x",
    "a\x00bcdefghij",
    "; touch canary",
    "$(touch canary)",
    "`touch x`",
    "abcdefghijk&list=PL",
    "abcdefghij\u202e",
    "abcdefghij/",
    "ytsearch:a",
    "x" * 4000,
    "abcdefghij%",
    "{id}",
    "............",
    "abcdefghijk?v=1",
)


def test_ids_of_videos_that_are_something_else(sandbox: Sandbox, asked: tuple[int, list[str]]) -> None:
    port, seen = asked
    url = f"http://127.0.0.1:{port}/{{id}}"
    for name in IDS[: share_of(len(IDS))]:
        folder = sandbox.fresh()
        text = f"\n# new artist:\tA\t{0:022d}\n\n{name}\n"
        (folder / "youtube_video_ids_00_206947.txt").write_bytes(text.encode())
        settings_of = (f"source.path={folder}", "videos.download=true", f"videos.url={url}")
        more = ("videos.allow_private=true", "videos.retries=0", "videos.pause_s=0")
        words = [word for setting in (*settings_of, *more) for word in ("--set", setting)]
        before = len(seen)
        sandbox.judge("bad video id", repr(name[:30]), "build", "music_videos", *words, "--only", "tags,splits")
        assert len(seen) == before, seen
