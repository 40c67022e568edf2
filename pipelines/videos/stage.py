"""The stage of music videos: tracks -> files -> those that are music videos, with their scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataflow import is_dataflow, require_visible
from pipelines.stage import BuildContext, Stage, StageResult, shown, written
from pipelines.task_runner import run_tasks
from pipelines.tasks import Task, TaskSet
from pipelines.videos.children import CHILDREN
from pipelines.videos.digests import digests_of_videos
from pipelines.videos.fetch import Fetcher
from pipelines.videos.files import VideoFiles, files_by_id
from pipelines.videos.place import COPY, WAY_OUT, VideoPlace
from pipelines.videos.storyboards import draw_storyboards
from pipelines.watch import limited_elsewhere
from schemas.digests import digest_of
from schemas.errors import DataError, UsageError
from schemas.reasons import FAULTS_OF_THE_MACHINE, Reason
from schemas.receipt import FunnelStep
from schemas.store import FileInfo, Store
from schemas.tables import EXCLUSIONS, STORYBOARDS, TRACKS, VIDEOS
from schemas.tables.videos import KEPT

VIDEOS_PER_TASK = 8
EXAMINE_VERSION = 2
_LEAST_LIMIT_S, _LIMIT_SHARE = 60.0, 0.5


@dataclass(frozen=True)
class _Found:
    """The videos at hand: their files and the files' digests; and why the others are not."""

    files: Mapping[str, VideoFiles]
    digests: Mapping[str, str]
    missing: Mapping[str, tuple[Reason, str]]


class VideosStage(Stage):
    """Fetches what is to be fetched, looks through every video once, and says which stay."""

    name = "videos"
    version = 1
    after = ("source",)

    def __init__(self, place: VideoPlace, where: str) -> None:
        self._place = place
        self._where = where
        self.gathers = True
        self._read: dict[FileInfo, str] = {}
        self._failed: dict[FileInfo, str] = {}

    @cached_property
    def _store(self) -> Store:
        store = self._place.store()
        if store is None:
            raise UsageError(f"{self._where}: there are no videos; {WAY_OUT}")
        return store

    @cached_property
    def _fetcher(self) -> Fetcher | None:
        return Fetcher(self._place, self._store) if self._place.section.download else None

    def settings(self, context: BuildContext) -> Any:
        settings = {**self._request(), "version": EXAMINE_VERSION, "inputs": digest_of(self._inputs(context))}
        failed = _failed_by_machine(context.out)
        # Another try may find other videos in the same files: what follows is then made again.
        return {**settings, "failed": failed} if failed else settings

    def _request(self) -> dict[str, Any]:
        section = self._place.section
        return {"filter": section.filter.model_dump(mode="json"), "max_duration_s": section.max_duration_s}

    def _inputs(self, context: BuildContext) -> Any:
        if context.receipt.stages.get("source") is None or TRACKS.check(context.out):
            return None
        found = self._found(context)
        files = [
            [track, files.audio, files.video, [found.digests[path] for path in files.paths]]
            for track, files in sorted(found.files.items())
        ]
        return [files, sorted([track, str(reason)] for track, (reason, _) in found.missing.items())]

    def preflight(self, context: BuildContext) -> None:
        import scenedetect  # noqa: F401 - what is missing is missed here, not at the first video

        self._require_visible(context)
        if self._fetcher is not None:
            self._fetcher.require_usable()
        elif not self._place.section.made and not files_by_id(self._store.list()):
            raise UsageError(f"videos.local: {self._store.root} holds no videos named by their ids, such as ID.mp4")

    def _require_visible(self, context: BuildContext) -> None:
        """Refuse what the engine's workers could not read.

        Raises:
            UsageError: naming the key.
        """
        engine, store = context.engine, self._store
        if self._fetcher is not None and is_dataflow(engine.runner):
            raise UsageError(
                f"videos.download: Dataflow's workers cannot see {store.root}, where downloads go; {COPY}"
            )
        require_visible(engine, store, f"{self._where}: videos")
        if not engine.is_local and not store.is_shared:
            raise UsageError(f"videos.local: {store.root}: {engine.runner}'s workers cannot see this store")

    def unfinished(self, context: BuildContext) -> str:
        again = _failed_by_machine(context.out) if context.retry else []
        if again:
            return f"{len(again)} videos are tried again, such as {shown(again, 1)}"
        if self._fetcher is None or TRACKS.check(context.out):
            return ""
        waiting = self._fetcher.waiting(_ids(context.out))
        return f"{len(waiting)} videos are not fetched yet, such as {shown(waiting, 1)}" if waiting else ""

    def run(self, context: BuildContext) -> StageResult:
        out, section = context.out, self._place.section
        if self._fetcher is not None:
            with limited_elsewhere():
                self._fetcher.fetch(_ids(out), context.reporter)
        found = self._found(context)
        if not found.files:
            raise DataError(f"videos: none of {len(found.missing)} is there; {_first(found.missing)}")
        settings = digest_of([self.version, EXAMINE_VERSION, self._request()])
        rows = self._examined(context, found, settings)
        kept = [row["track_id"] for row in rows if row["kind"] == KEPT]
        if not kept:
            first = next(row for row in rows)
            told = f"{first['track_id']}: {first['kind']}: {first['detail']}"
            raise DataError(f"videos: none of {len(rows)} stays; the first is {told}; see videos.filter")
        boards = draw_storyboards(self._store, rows)
        made = {
            VIDEOS.filename: VIDEOS.write(out, VIDEOS.from_rows(rows), {"settings": settings}),
            STORYBOARDS.filename: STORYBOARDS.write(out, STORYBOARDS.from_rows(boards)),
        }
        left = {row["track_id"]: (row["kind"], row["detail"]) for row in rows if row["kind"] != KEPT}
        left |= {track: (str(reason), detail) for track, (reason, detail) in found.missing.items()}
        exclusions = [
            {"id": track, "stage": self.name, "reason": reason, "detail": detail}
            for track, (reason, detail) in left.items()
        ]
        hours = sum(row["duration_s"] for row in rows if row["kind"] == KEPT) / 3600
        notes = [f"{len(kept)} videos of {hours:,.1f} hours; scenes by PySceneDetect's {section.filter.detector}"]
        return StageResult(
            written(out, made),
            _funnel(out, [row["track_id"] for row in rows], kept),
            notes,
            EXCLUSIONS.from_rows(exclusions),
        )

    def _found(self, context: BuildContext) -> _Found:
        """What is there for each track."""
        tracks = TRACKS.read(context.out, ["track_id", "audio_uri", "video_uri"]).to_pylist()
        store, fetcher = self._store, self._fetcher
        listed = [] if not store.root_exists() else store.list()
        paths = {info.path for info in listed}
        # The folder may hold the dataset, or the dataset the folder: what builds leave there is no video.
        by_id = files_by_id(info for info in listed if not info.path.startswith(".work/"))
        files: dict[str, VideoFiles] = {}
        missing: dict[str, tuple[Reason, str]] = {}
        for row in tracks:
            track, audio, video = row["track_id"], row["audio_uri"], row["video_uri"]
            if fetcher is not None:
                outcome = fetcher.outcome(track)
                if isinstance(outcome, VideoFiles):
                    files[track] = outcome
                else:
                    missing[track] = outcome
            elif video in paths:
                files[track] = VideoFiles(audio if audio in paths else video, video)
            elif (named := by_id.get(track) or by_id.get(video or "")) is not None:
                files[track] = named
            else:
                missing[track] = (Reason.MISSING_FILE, "videos.local has no file of that name")
        for track, named in list(files.items()):
            if not all(store.inside(path) for path in named.paths):
                del files[track]
                missing[track] = (Reason.OUTSIDE_SOURCE, "a link that leads out of the folder of videos")
        wanted = sorted({path for named in files.values() for path in named.paths})
        digests, failed = self._digests(context, wanted, {info.path: info for info in listed})
        for track, named in list(files.items()):
            unread = next((path for path in named.paths if path in failed), None)
            if unread is not None:
                del files[track]
                missing[track] = (Reason.UNREADABLE, f"{unread}: {failed[unread]}")
        return _Found(files, digests, missing)

    def _digests(
        self, context: BuildContext, paths: list[str], listed: Mapping[str, FileInfo]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Digests by path, and why the others have none.

        A file is read once a build: what it was to the run it is to the entry that the receipt gets.
        """
        store = self._store
        infos = [listed.get(path) or store.info(path) for path in paths]
        unread = [info for info in infos if info not in self._read and info not in self._failed]
        if unread:
            if not store.is_local and not context.dry_run:
                self._require_visible(context)  # before a job is made that reads them
            digests, failed = digests_of_videos(context, store, unread)
            self._read.update({info: digests[info.path] for info in unread if info.path in digests})
            self._failed.update({info: failed[info.path] for info in unread if info.path in failed})
        return (
            {info.path: self._read[info] for info in infos if info in self._read},
            {info.path: self._failed[info] for info in infos if info in self._failed},
        )

    def _examined(self, context: BuildContext, found: _Found, settings: str) -> list[dict[str, Any]]:
        """A row of `videos` for each track that has files; what was looked through before is not again."""
        known = _known(context.out, settings, retry=context.retry)
        rows: list[dict[str, Any]] = []
        fresh: list[dict[str, Any]] = []
        for track, files in sorted(found.files.items()):
            row: dict[str, Any] = {"track_id": track, "audio_uri": files.audio, "video_uri": files.video}
            for kind, path in (("audio", files.audio), ("video", files.video)):
                row[f"{kind}_sha256"] = None if path is None else found.digests[path]
            before = known.get(_key(row))
            if before is None:
                fresh.append(row)
            else:
                rows.append({**before, **row})
        tasks = []
        for start in range(0, len(fresh), VIDEOS_PER_TASK):
            some = fresh[start : start + VIDEOS_PER_TASK]
            digest = digest_of([settings, [[row["track_id"], *_key(row)] for row in some]])
            spec = {"videos": [[row["track_id"], row["audio_uri"], row["video_uri"]] for row in some]}
            tasks.append(Task(digest[:24], digest, spec, len(some)))
        limit = max(_LEAST_LIMIT_S, _LIMIT_SHARE * self._place.section.max_duration_s)
        allowed = {"limit_s": limit, "bytes": context.engine.track_bytes}
        shared = {"root": self._store.root, "request": self._request(), **allowed}
        work = TaskSet(self.name, "pipelines.videos.examine_task:examine_videos", tasks, shared)
        seen: dict[str, Any] = {}
        CHILDREN.go_on()
        try:
            results = run_tasks(work, context.out, context.engine, context.reporter)
        except BaseException:
            CHILDREN.give_up()  # else this process would wait for them before it could end
            raise
        for result in results.values():
            seen.update(dict(result["videos"]))
        return sorted(
            [*rows, *({**seen[row["track_id"]], **row} for row in fresh)], key=lambda row: row["track_id"]
        )

    def not_reckoned(self) -> list[str]:
        """What it takes beside looking through the videos, in words."""
        section = self._place.section
        made = ["the making of the videos by the source"] if section.made else []
        return ["downloads of videos"] if section.download else made

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        fetched = "fetched and " if self._fetcher is not None else ""
        return f"{tracks if tracks is not None else 'all'} videos {fetched}looked through"


def _ids(out: Store) -> list[str]:
    ids: list[str] = TRACKS.read(out, ["track_id"]).column("track_id").to_pylist()
    return ids


def _key(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return row["audio_sha256"], row["video_sha256"]


def _failed_by_machine(out: Store) -> list[str]:
    """The videos that left by a fault of the machine's, sorted."""
    if not out.exists(VIDEOS.filename):
        return []
    try:
        table = VIDEOS.read(out, ["track_id", "kind"])
    except DataError:
        return []
    faults = pa.array(sorted(FAULTS_OF_THE_MACHINE), pa.string())
    failed = table.filter(pc.is_in(table.column("kind"), value_set=faults))
    return sorted(failed.column("track_id").to_pylist())


def _known(out: Store, settings: str, *, retry: bool) -> dict[tuple[str | None, str | None], dict[str, Any]]:
    """What was found in files before, by the files' digests, with the same settings.

    Args:
        retry: leave out what a fault of the machine's kept from being found.
    """
    if VIDEOS.meta(out).get("settings") != settings:
        return {}
    try:
        rows = VIDEOS.read(out).to_pylist()
        return {_key(row): row for row in rows if not retry or row["kind"] not in FAULTS_OF_THE_MACHINE}
    except DataError:
        return {}


def _first(missing: Mapping[str, tuple[Reason, str]]) -> str:
    track, (reason, detail) = min(missing.items())
    return f"the first is {track}: {reason}: {detail}"


def _funnel(out: Store, there: list[str], kept: list[str]) -> list[FunnelStep]:
    tracks = TRACKS.read(out, ["track_id", "artist_id"])
    steps = [_step("in the source", tracks)]
    for name, ids in (("there", there), ("music videos", kept)):
        steps.append(_step(name, tracks.filter(pc.is_in(tracks.column("track_id"), pa.array(ids, pa.string())))))
    return steps


def _step(name: str, tracks: pa.Table) -> FunnelStep:
    artists = int(pc.count_distinct(tracks.column("artist_id")).as_py())
    return FunnelStep(step=name, tracks=tracks.num_rows, artists=artists)
