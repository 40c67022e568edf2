"""Which tracks have a preview, and where it lies."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UsageError
from tests.pipelines.sources.million_song.files import (
    EXPECTED,
    SAID,
    Folder,
    Read,
    labelled,
    row,
    track,
)

DIGITAL = {track(n): str(5000 + n) for n in range(5)}
PATHS = {str(5000 + n): f"{n}/{n}/{5000 + n}.clip.mp3" for n in (0, 1, 3, 4, 9)}


def python_2(content: dict[str, str]) -> bytes:
    """As cPickle of Python 2 writes a dict of text by default: protocol 0."""
    return b"(dp1\n" + b"".join(f"S'{k}'\nS'{v}'\ns".encode() for k, v in content.items()) + b"."


def test_tracks_with_previews(folder: Folder, read: Read, tmp_path: Path) -> None:
    folder.metadata(row(n) for n in range(6)).lastfm(SAID).audio(python_2(DIGITAL), pickle.dumps(PATHS, 2))
    tables = read(tracks="with_audio")
    paths = dict(zip(*(tables.tracks.column(c).to_pylist() for c in ("track_id", "audio_uri")), strict=True))
    assert paths == {track(n): PATHS[str(5000 + n)] for n in (0, 1, 3, 4)}
    assert [(r["id"], r["reason"]) for r in tables.exclusions.to_pylist()] == [
        (track(2), "no_audio"),
        (track(5), "no_audio"),
    ]
    assert labelled(tables) == EXPECTED
    (tmp_path / "mp3").mkdir()
    beside = read(tracks="all", audio=str(tmp_path / "mp3"))
    assert beside.tracks.num_rows == 6
    assert beside.tracks.column("audio_uri").null_count == 2
    whole = {track(n): 5000 + n for n in range(5)}  # ids may be numbers
    folder.audio(pickle.dumps(whole, 2), pickle.dumps({int(k): v for k, v in PATHS.items()}, 0))
    assert read(tracks="with_audio").tracks.equals(tables.tracks)


class Harm:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("digital", "paths", "message"),
    [
        (pickle.dumps({track(0): Harm()}), b"", r"MSD_id_to_7D_id\.pkl: the pickle asks for posix\.system"),
        (pickle.dumps([1]), pickle.dumps({}), r"MSD_id_to_7D_id\.pkl: holds list, and a dict is published"),
        (pickle.dumps(DIGITAL), pickle.dumps({"5000": "../x.mp3"}), r"7D_id_to_path\.pkl: the path of .*'\.\./x"),
        (pickle.dumps(DIGITAL), pickle.dumps({"5000": "/x.mp3"}), r"7D_id_to_path\.pkl: the path of "),
        (pickle.dumps(DIGITAL), pickle.dumps({"5000": 7}), r"7D_id_to_path\.pkl: the path of .*7 is no path"),
        (pickle.dumps(DIGITAL)[:-9], pickle.dumps({}), r"MSD_id_to_7D_id\.pkl: no pickle"),
    ],
)
def test_pickles_that_are_not_as_published_are_named(
    digital: bytes,
    paths: bytes,
    message: str,
    folder: Folder,
    read: Read,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.metadata([row(0)]).audio(digital, paths)
    with pytest.raises(UsageError, match=message):
        read(labels=(), tracks="with_audio")
    assert not (tmp_path / "harmed").exists()
