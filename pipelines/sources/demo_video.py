"""The demo's pieces as music videos: composed, played and filmed into the dataset's own folder.

Three videos that are none (a still picture, lyrics, darkness) are among them, which the filter takes out.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from pydantic import Field

from pipelines.dataflow import require_visible
from pipelines.progress import counter
from pipelines.sources.artists import artist_id
from pipelines.sources.base import Source, SourceSettings, SourceTables
from pipelines.sources.demo import SYNTHESIS_VERSION
from pipelines.synthesis import Corpus
from pipelines.task_runner import forget_tasks, run_tasks
from pipelines.tasks import Task, TaskContext, TaskSet
from pipelines.videos.place import made_videos
from schemas.digests import canonical_json, digest_of, stable_hash
from schemas.store import Store
from schemas.tables import ANNOTATIONS, EXCLUSIONS, TRACKS

FILM_VERSION = 1
VIDEOS_PER_TASK = 10
MARKER = "videos.json"
NO_MUSIC_VIDEOS = ("still_image", "lyric_video", "black_frames")
_LABEL = "source.videos"
_KEYS = ("artists", "tracks", "seed", "seconds")


class DemoVideoSettings(SourceSettings):
    """The keys of `source:` for the demo's music videos.

    Attributes:
        artists, tracks: how many videos of how many artists; three that are no music videos come on top.
        seed: another seed, other music.
        seconds: of each.
    """

    artists: int = Field(default=30, ge=3, le=1000)
    tracks: int = Field(default=180, ge=6, le=20_000)
    seed: int = Field(default=0, ge=0)
    seconds: float = Field(default=20.0, ge=6, le=120)


class DemoVideo(Source):
    """See the module."""

    VERSION = 1
    Settings = DemoVideoSettings
    LOCATION_KEYS = frozenset()
    settings: DemoVideoSettings

    @cached_property
    def _corpus(self) -> Corpus:
        return corpus_of(self._keys)

    @property
    def _keys(self) -> dict[str, Any]:
        return {key: getattr(self.settings, key) for key in _KEYS}

    @property
    def _marker(self) -> str:
        return canonical_json({**self._keys, "version": [SYNTHESIS_VERSION, FILM_VERSION]})

    def expected_tracks(self) -> int:
        return self.settings.tracks + len(NO_MUSIC_VIDEOS)

    def inputs(self) -> dict[str, str]:
        if not self.context.dry_run:
            self._film()
        return {MARKER: digest_of(self._marker)}

    def audio(self) -> Store | None:
        return None

    def read(self) -> SourceTables:
        tracks = [
            {
                "track_id": track.track_id,
                "artist_id": artist_id(track.artist_name),
                "artist_name": track.artist_name,
                "album": track.album,
                "title": track.title,
                "year": track.year,
                "duration_s": track.duration_s,
                "recording_id": track.track_id,
            }
            for track in self._corpus.tracks
        ]
        tracks += [
            {
                "track_id": kind,
                "artist_id": artist_id(kind),
                "artist_name": kind,
                "title": kind,
                "duration_s": self.settings.seconds,
                "recording_id": kind,
            }
            for kind in NO_MUSIC_VIDEOS
        ]
        for row in tracks:
            row["audio_uri"] = row["video_uri"] = file_of(str(row["track_id"]))
        said = [
            {"track_id": track.track_id, "source": "demo", "raw_tag": tag, "score": score}
            for track in self._corpus.tracks
            for tag, score in track.raw_tags
        ]
        return SourceTables(TRACKS.from_rows(tracks), ANNOTATIONS.from_rows(said), EXCLUSIONS.from_rows([]))

    def _film(self) -> None:
        """Make the files that are not there yet."""
        store = made_videos(self.context.out)
        found = store.read_text(MARKER) if store.exists(MARKER) else None
        present = {info.path for info in store.list()} if store.root_exists() else set()
        if found != self._marker:
            forget_tasks(_LABEL, self.context.out)  # a job that still films others is let in no more
            for path in sorted(present & files_of(found)):
                store.remove(path)
            present = set()
            store.write_text(MARKER, self._marker)
        names = [track.track_id for track in self._corpus.tracks] + list(NO_MUSIC_VIDEOS)
        missing = [number for number, name in enumerate(names) if file_of(name) not in present]
        if missing:
            require_visible(self.context.engine, store, "videos")
            tasks = []
            for start in range(0, len(missing), VIDEOS_PER_TASK):
                numbers = missing[start : start + VIDEOS_PER_TASK]
                digest = digest_of([self._marker, numbers])
                tasks.append(Task(digest[:24], digest, {"numbers": numbers}, len(numbers)))
            work = TaskSet(
                _LABEL, "pipelines.sources.demo_video:film_videos", tasks, {"root": store.root, "keys": self._keys}
            )
            self.context.reporter.say(f"{_LABEL}: playing and filming {len(missing)} pieces")
            run_tasks(work, self.context.out, self.context.engine, self.context.reporter)
        forget_tasks(_LABEL, self.context.out)


def corpus_of(keys: dict[str, Any]) -> Corpus:
    """The pieces of the source's settings."""
    from pipelines.synthesis.performances import compose_videos

    return compose_videos(**keys)


def file_of(track_id: str) -> str:
    """The name of a video's file."""
    return f"{track_id}.mp4"


def files_of(marker: str | None) -> set[str]:
    """The files of what was filmed before; they are ours to delete, and no others are."""
    try:
        count = int(json.loads(marker or "{}")["tracks"])
    except (ValueError, KeyError, TypeError):
        return set()
    return {f"demo-{number + 1:04d}.mp4" for number in range(count)} | {file_of(kind) for kind in NO_MUSIC_VIDEOS}


def film_videos(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Play and film some of the pieces."""
    from pipelines.synthesis.performances import FPS, HEIGHT, WIDTH, film
    from pipelines.synthesis.videos import encode_video, plan_video

    keys = context.shared["keys"]
    tracks = corpus_of(keys).tracks
    store = Store(context.shared["root"])
    progress = counter(context.label)

    def one(number: int) -> None:
        name = tracks[number].track_id if number < len(tracks) else NO_MUSIC_VIDEOS[number - len(tracks)]
        with store.writing(file_of(name), context.require_wanted) as file:
            if number < len(tracks):
                film(tracks[number].score, stable_hash(name, keys["seed"]) >> 1, file)
            else:
                plan = plan_video(name, keys["seed"], keys["seconds"], FPS, (WIDTH, HEIGHT))
                encode_video(plan, file, sound_codec="flac")
        progress.advance()

    with ThreadPoolExecutor(context.threads) as pool:
        list(pool.map(one, spec["numbers"]))
    return {}


SOURCE = DemoVideo
