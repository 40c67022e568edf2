"""Lists of music videos on YouTube: YouTube-music-video-5M (Choi 2018), and VCMR's choice of it.

The lists (`youtube_video_ids_00_206947.txt`, …) have a header `# new artist:<tab>name<tab>spotify id` before each
artist's videos, then one id a line; 500 artists a file. `video_list.txt` (VCMR, 20,150) is ids alone: with lists
beside it, it says which of their videos are wanted; without, every video is taken for an artist of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import cast

from pydantic import Field

from pipelines.sources.artists import artist_id
from pipelines.sources.base import SourceTables
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from pipelines.sources.random_split import RandomSplitSettings
from pipelines.sources.row_buffer import RowBuffer
from pipelines.stage import shown
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.tables import ANNOTATIONS, EXCLUSIONS, TRACKS

CHOICE = "video_list.txt"
_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
_NEW_ARTIST = re.compile(r"#\s*new artist:\s*(?P<name>.*?)\s+(?P<id>[A-Za-z0-9]{22})\s*", re.DOTALL)
_NAMED = 3


class MusicVideosSettings(RandomSplitSettings):
    """The keys of `source:` for lists of music videos.

    Attributes:
        lists: names or patterns of the lists; VCMR draws from the first two.
    """

    lists: list[str] = Field(
        default=["*youtube_video_ids_00_*.txt", "*youtube_video_ids_01_*.txt"], description="patterns below path"
    )


class MusicVideos(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = MusicVideosSettings

    def files(self) -> Mapping[str, PublishedFile]:
        own = cast(MusicVideosSettings, self.settings)
        paths = [info.path for info in self.store.list()]
        found = [path for path in paths if any(fnmatchcase(path, pattern) for pattern in own.lists)]
        found += [path for path in paths if path == CHOICE]
        if not found:
            raise UsageError(f"source.path: {self.store.root} has neither {CHOICE} nor {', '.join(own.lists)}")
        return {path: PublishedFile((path,)) for path in found}

    def read(self) -> SourceTables:
        own = cast(MusicVideosSettings, self.settings)
        rows = RowBuffer()
        lists = [path for path in self.files() if path != CHOICE]
        chosen = dict.fromkeys(video for _, video in self._videos(CHOICE, rows)) if self.has(CHOICE) else None
        names: dict[str, str] = {}
        artists: dict[str, list[str]] = {}
        for path in lists:
            for artist, video in self._videos(path, rows, names):
                if (chosen is None or video in chosen) and artist not in artists.setdefault(video, []):
                    artists[video].append(artist)
        videos = list(artists) if chosen is None else list(chosen)
        for video in videos:
            credited = artists.get(video) or [video]
            name = names.get(credited[0])
            rows.add(
                TRACKS,
                track_id=video,
                artist_id=credited[0],
                collaborators=sorted(credited[1:]) or None,
                artist_name=name,
                # What the video is called is not published: its artist says most.
                title=name,
                video_uri=video,
                recording_id=video,
            )
        published, told = own.drawn(videos)
        notes = [*self._notes(artists, names, videos, by_list=bool(lists)), *told]
        return SourceTables(
            rows.table(TRACKS),
            ANNOTATIONS.empty(),
            rows.table(EXCLUSIONS),
            published=published,
            notes=tuple(notes),
        )

    def _videos(self, path: str, rows: RowBuffer, names: dict[str, str] | None = None) -> Iterator[tuple[str, str]]:
        """(artist's id, video) for each video of a list; of the choice the artist is empty.

        Args:
            names: gathers the artists' names by id.

        Raises:
            UsageError: a list without its headers.
        """
        artist = ""
        for number, line in self.lines(path):
            text = line.strip()
            if text.startswith("#") and names is not None:
                header = _NEW_ARTIST.fullmatch(text)
                if header is None or not header["name"]:
                    problem = f"{text[:60]!r} is not '# new artist:<tab>name<tab>spotify id'"
                    raise self.wrong(path, number, problem)
                artist = header["id"] or artist_id(header["name"])
                names.setdefault(artist, header["name"])
            elif _VIDEO.fullmatch(text):
                if not artist and names is not None:
                    raise self.wrong(path, number, f"a video before the first '# new artist:'; is it {CHOICE}?")
                yield artist, text
            elif text:
                rows.exclude(f"{path}:{number}", Reason.INVALID_ROW, f"line {number}: {text[:60]!r} is no video id")

    def _notes(
        self, artists: Mapping[str, list[str]], names: Mapping[str, str], videos: list[str], *, by_list: bool
    ) -> list[str]:
        notes = []
        several = [video for video in videos if len(artists.get(video, ())) > 1]
        if several:
            told = shown((f"{v} by {', '.join(names[a] for a in artists[v])}" for v in several), _NAMED)
            notes.append(f"{len(several)} videos are listed under several artists: one track each, such as {told}")
        alone = sum(video not in artists for video in videos)
        if alone and by_list:
            notes.append(f"{alone} videos of {CHOICE} are in none of the lists: each is an artist of its own")
        elif alone:
            notes.append(f"{CHOICE} names no artists: each video is taken for an artist of its own; add the lists")
        return notes


SOURCE = MusicVideos
