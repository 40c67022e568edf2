"""Where the videos of a dataset lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.locations import from_base, store_at
from schemas.errors import UsageError
from schemas.manifest import VideosSection
from schemas.store import Store

FOLDER = "videos"
COPY = "fetch with videos.folder=DIR --only videos, copy DIR to a bucket, and build with videos.local=gs://…"
WAY_OUT = "set videos.local=DIR or videos.download=true, or build with --only tags,splits"


def made_videos(out: Store) -> Store:
    """The folder of the videos that a source makes itself.

    Raises:
        UsageError: the dataset directory is not one of this machine.
    """
    if not out.is_local:
        raise UsageError(f"videos.made: {out.root} cannot hold videos while they are made; build into a folder")
    return Store(f"{out.root.rstrip('/')}/{FOLDER}")


@dataclass(frozen=True)
class VideoPlace:
    """The folder of the videos.

    Attributes:
        base: the folder that relative paths in the manifest start from; None for the working directory.
        out: the dataset directory.
    """

    section: VideosSection
    base: str | None
    out: Store

    def store(self) -> Store | None:
        """The folder, or None when the manifest names no videos.

        Raises:
            UsageError: there is no such folder, or it is to hold downloads and is not one of this machine.
        """
        section = self.section
        if section.local is not None:
            return store_at(section.local, self.base, "videos.local")
        if section.made:
            return made_videos(self.out)
        if not section.download:
            return None
        if section.folder is None and not self.out.is_local:
            raise UsageError(f"videos.folder: {self.out.root} cannot hold downloads; set videos.folder=DIR")
        if section.folder is None:
            return Store(f"{self.out.root.rstrip('/')}/{FOLDER}")
        store = Store(from_base(section.folder, self.base))
        if not store.is_local or "://" in section.folder:
            raise UsageError(
                f"videos.folder: {section.folder} is no folder of this machine, and downloads go into one; {COPY}"
            )
        return store

    def cookies(self) -> Path | None:
        """The file of cookies.

        Raises:
            UsageError: it is not there.
        """
        if self.section.cookies is None:
            return None
        path = Path(from_base(self.section.cookies, self.base))
        if not path.is_file():
            raise UsageError("videos.cookies: there is no such file")
        return path
