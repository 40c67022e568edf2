"""The demo corpus: composed and played into a folder of audio, then read as any folder is.

What is said of a track, and who made it, comes from the composition; which files are sound, silent, cut off or no
audio at all is found out as with any other folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import Field

from pipelines.dataflow import require_visible
from pipelines.progress import counter
from pipelines.sources.base import SourceTables
from pipelines.sources.folder import AUDIO_SUFFIXES, Folder, FolderSettings
from pipelines.sources.folder_metadata import metadata_table
from pipelines.synthesis import Corpus, compose
from pipelines.task_runner import forget_tasks, run_tasks
from pipelines.tasks import Task, TaskContext, TaskSet
from schemas.digests import canonical_json, digest_of
from schemas.errors import UsageError
from schemas.store import Store
from schemas.tables import ANNOTATIONS

SYNTHESIS_VERSION = 1
TRACKS_PER_TASK = 40
MARKER = "corpus.json"
_LABEL = "source.music"
_CORPUS_KEYS = ("artists", "tracks", "seed")


class DemoSettings(FolderSettings):
    """The keys of `source:` for the demo.

    Attributes:
        artists, tracks: how many sound tracks by how many artists; five broken files come on top.
        seed: another seed, other music.
        path: the folder that the music is played into; `music` below the dataset by default.
    """

    artists: int = Field(default=60, ge=3, le=1000)
    tracks: int = Field(default=480, ge=6, le=20_000)
    seed: int = Field(default=0, ge=0)


class Demo(Folder):
    """See the module."""

    VERSION = 1
    Settings = DemoSettings
    settings: DemoSettings

    @cached_property
    def _corpus(self) -> Corpus:
        return compose(self.settings.artists, self.settings.tracks, self.settings.seed)

    def _located(self) -> Store:
        return Store(self.settings.path or f"{self.context.out.root.rstrip('/')}/music")

    def expected_tracks(self) -> int:
        return self.settings.tracks + 5

    def _digests(self) -> Iterator[tuple[str, str]]:
        if not self.context.dry_run:
            self._play()
        elif self._played() != self._marker() or self._missing():
            return iter([(MARKER, digest_of(self._marker()))])
        return super()._digests()

    def read(self) -> SourceTables:
        tables = super().read()
        kept = set(tables.tracks.column("track_id").to_pylist())
        rows = [
            {"track_id": track.track_id, "source": "demo", "raw_tag": tag, "score": score}
            for track in self._corpus.tracks
            if track.track_id in kept
            for tag, score in track.raw_tags
        ]
        return SourceTables(
            tables.tracks,
            ANNOTATIONS.from_rows(rows),
            tables.exclusions,
            artist_keys=tables.artist_keys,
            notes=tables.notes,
        )

    def _metadata_path(self) -> str | None:
        return None

    def _metadata(self) -> pa.Table:
        return metadata_table(
            {
                "path": track.path,
                "track_id": track.track_id,
                "artist": track.artist_name,
                "album": track.album,
                "title": track.title,
                "year": track.year,
            }
            for track in self._corpus.tracks
        )

    def _marker(self) -> str:
        keys = {key: getattr(self.settings, key) for key in _CORPUS_KEYS}
        return canonical_json({**keys, "version": SYNTHESIS_VERSION})

    def _played(self) -> str | None:
        return self._store.read_text(MARKER) if self._store.exists(MARKER) else None

    def _missing(self) -> list[int]:
        present = {info.path for info in self._store.list()}
        return [n for n, track in enumerate(self._corpus.tracks) if track.path not in present]

    def _play(self) -> None:
        """Write the files that are not there yet. A folder of other music is never written into."""
        if self._played() is not None:
            self._store.remove_abandoned()
        wanted = self._marker()
        found = self._played()
        if found != wanted:
            others = [i.path for i in self._store.list() if i.path.endswith(tuple(AUDIO_SUFFIXES))]
            if found is None and others:
                raise UsageError(
                    f"source.path: {self._store.root} holds other music; give the demo a folder of its own"
                )
            forget_tasks(_LABEL, self.context.out)  # a job that still plays the other corpus is let in no more
            for path in sorted(_paths_of(found) & set(others)):
                self._store.remove(path)
            self._store.write_text(MARKER, wanted)
        missing = self._missing()
        tasks = []
        for start in range(0, len(missing), TRACKS_PER_TASK):
            numbers = missing[start : start + TRACKS_PER_TASK]
            digest = digest_of([wanted, numbers])
            tasks.append(Task(digest[:24], digest, {"numbers": numbers}, len(numbers)))
        if not tasks:
            forget_tasks(_LABEL, self.context.out)  # of a build that was killed when all was played
            return
        require_visible(self.context.engine, self._store, "source.path")
        shared = {"root": self._store.root, "corpus": {key: getattr(self.settings, key) for key in _CORPUS_KEYS}}
        work = TaskSet(_LABEL, "pipelines.sources.demo:play_tracks", tasks, shared)
        self.context.reporter.say(f"{_LABEL}: playing {len(missing)} pieces")
        run_tasks(work, self.context.out, self.context.engine, self.context.reporter)
        forget_tasks(_LABEL, self.context.out)


def _paths_of(marker: str | None) -> set[str]:
    """The files of the corpus that was played before; they are ours to delete, and no others are."""
    try:
        before = json.loads(marker or "{}")
        return {track.path for track in compose(**{key: int(before[key]) for key in _CORPUS_KEYS}).tracks}
    except (ValueError, KeyError, TypeError, UsageError):
        return set()


def play_tracks(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Synthesise and write some tracks of the corpus."""
    from pipelines.synthesis import encode

    corpus = compose(**context.shared["corpus"])
    store = Store(context.shared["root"])
    progress = counter(context.label)

    def one(number: int) -> None:
        track = corpus.tracks[number]
        store.write_bytes(track.path, encode(track), context.require_wanted)
        progress.advance()

    with ThreadPoolExecutor(context.threads) as pool:
        list(pool.map(one, spec["numbers"]))
    return {}


SOURCE = Demo
