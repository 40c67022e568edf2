"""Which files of a folder are the sound and the pictures of which video: by their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from schemas.store import FileInfo

SOUND = frozenset({".m4a", ".opus", ".ogg", ".oga", ".mp3", ".wav", ".flac", ".aac", ".weba", ".mka"})
PICTURES = frozenset(
    {".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".flv", ".ts", ".mpg", ".mpeg", ".3gp", ".ogv"}
)
_PART = re.compile(r"(?P<id>.+)\.(?P<part>audio|video)")
_FORMAT = re.compile(r"(?P<id>.+)\.f[0-9]+")
_BRACKETED = re.compile(r".*\[(?P<id>[A-Za-z0-9_-]{11})\]")


@dataclass(frozen=True)
class VideoFiles:
    """Paths below the folder; one file may hold both."""

    audio: str | None
    video: str | None

    @property
    def paths(self) -> list[str]:
        """Each file once."""
        return list(dict.fromkeys(path for path in (self.audio, self.video) if path is not None))


def files_by_id(infos: Iterable[FileInfo]) -> dict[str, VideoFiles]:
    """The files of each video, by its id.

    A file is named `ID.mp4`, `ID.audio.m4a` and `ID.video.mp4`, or as by yt-dlp `ID.f140.m4a`, `Title [ID].mp4`.
    Sound of its own goes before the sound of the file with the pictures. Of several files of a kind the first by
    name is taken.
    """
    found: dict[str, dict[str, str]] = {}
    for info in sorted(infos, key=lambda info: info.path):
        path = PurePosixPath(info.path)
        suffix, stem = path.suffix.lower(), path.stem
        if suffix not in SOUND | PICTURES or any(part.startswith(".") for part in path.parts):
            continue
        kind = "sound" if suffix in SOUND else "both"
        if part := _PART.fullmatch(stem):
            kind, stem = {"audio": "sound", "video": "pictures"}[part["part"]], part["id"]
        elif named := _FORMAT.fullmatch(stem):
            stem = named["id"]
        for key in {stem, bracketed["id"]} if (bracketed := _BRACKETED.fullmatch(stem)) else {stem}:
            found.setdefault(key, {}).setdefault(kind, info.path)
    return {
        key: VideoFiles(kinds.get("sound") or kinds.get("both"), kinds.get("pictures") or kinds.get("both"))
        for key, kinds in found.items()
    }
