"""The stage of one feature: tracks -> shards that stand by themselves, each made again alone when it is lost."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from pipelines.features.base import Feature
from pipelines.features.quiet import quiet_decoders
from pipelines.sources.base import Source
from pipelines.stage import BuildContext, Stage, StageResult, human_bytes, shown
from pipelines.task_runner import run_tasks
from pipelines.tasks import Task, TaskSet
from schemas.digests import digest_of
from schemas.errors import DataError, UsageError
from schemas.receipt import FileEntry, FunnelStep
from schemas.shards import read_shard_meta, shard_count, shard_is_whole, shard_of, shard_path
from schemas.store import Store
from schemas.tables import EXCLUSIONS, TRACKS


class FeatureStage(Stage):
    """Computes one feature for every track of the source; splits and tags do not matter to it."""

    version = 1
    after = ("source",)

    def __init__(self, feature: Feature, source: Source) -> None:
        self.name = f"features.{feature.name}"
        self._feature = feature
        self._source = source

    def settings(self, context: BuildContext) -> Any:
        spec = self._feature.spec()
        return {"spec": dict(spec.settings), "dtype": spec.dtype, "shape": list(spec.shape)}

    def repairable(self) -> bool:
        return True

    def preflight(self, context: BuildContext) -> None:
        self._audio(context)
        self._feature.prepare()

    def _audio(self, context: BuildContext) -> Store:
        audio = self._source.audio()
        if audio is None:
            raise UsageError(
                f"{context.where}: features.{self._feature.name} needs sound; set source.audio, or build with "
                "--only tags,splits"
            )
        return audio

    def run(self, context: BuildContext) -> StageResult:
        audio, out = self._audio(context), context.out
        tracks = TRACKS.read(out).to_pylist()
        without = [track["track_id"] for track in tracks if not track["audio_uri"]]
        if without:
            raise DataError(f"tracks.parquet: {len(without)} tracks name no audio file: {shown(without)}")
        count = context.receipt.shards or shard_count(len(tracks))
        tasks = self._tasks(context, tracks, count)
        entries, excluded, missing = self._standing(context, tasks)
        work = TaskSet(
            self.name,
            "pipelines.features.shard_task:write_shard",
            [task for task in tasks if task.id in missing],
            {
                "name": self._feature.name,
                "section": context.manifest.features[self._feature.name].model_dump(mode="json"),
                "audio": audio.root,
            },
        )
        with quiet_decoders() if context.engine.is_local else nullcontext():
            results = run_tasks(work, out, context.engine, context.reporter)
        for result in results.values():
            keys = ("sha256", "bytes", "rows")
            entries[result["path"]] = FileEntry.model_validate({key: result[key] for key in keys})
            excluded.extend(result["exclusions"])
        names = ("id", "reason", "detail")
        rows = [{"stage": self.name, **dict(zip(names, row, strict=True))} for row in excluded]
        clips = sum(entry.rows for entry in entries.values())
        left = len({row["id"] for row in rows})
        return StageResult(
            dict(sorted(entries.items())),
            [
                FunnelStep(step="with sound", tracks=len(tracks)),
                FunnelStep(step="in shards", tracks=len(tracks) - left),
            ],
            [f"{clips} clips in {count} shards, {human_bytes(sum(e.bytes for e in entries.values()))}"],
            EXCLUSIONS.from_rows(rows),
            shards=count,
        )

    def _tasks(self, context: BuildContext, tracks: list[dict[str, Any]], count: int) -> list[Task]:
        """One task a shard. Its digest changes with its own tracks and the settings, and with nothing else."""
        members: list[list[list[Any]]] = [[] for _ in range(count)]
        contents: list[list[Any]] = [[] for _ in range(count)]
        for track in sorted(tracks, key=lambda track: track["track_id"]):
            shard = shard_of(track["track_id"], count)
            part = [track["start_s"] or 0.0, track["end_s"]]
            members[shard].append([track["track_id"], track["audio_uri"], *part])
            contents[shard].append([track["track_id"], track["audio_sha256"] or track["audio_uri"], *part])
        settings = [self.version, self.settings(context)]
        tasks = []
        for shard in range(count):
            path = shard_path(self._feature.name, shard, count)
            digest = digest_of([settings, path, contents[shard]])
            spec = {"path": path, "digest": digest, "tracks": members[shard]}
            tasks.append(Task(f"{shard:05d}", digest, spec, max(1, len(members[shard]))))
        return tasks

    def _standing(
        self, context: BuildContext, tasks: list[Task]
    ) -> tuple[dict[str, FileEntry], list[list[Any]], set[str]]:
        """What need not be made again: entries of shards whose footers say that they are what is wanted, their
        exclusions, and the ids of the tasks that are to be run."""
        out = context.out
        listed = context.receipt.files()
        entries: dict[str, FileEntry] = {}
        excluded: list[list[Any]] = []
        missing: set[str] = set()
        for task in tasks:
            path = task.spec["path"]
            size = out.size(path)
            meta = read_shard_meta(out, path) if size is not None else None
            if size is None or meta is None or meta.get("digest") != task.digest:
                missing.add(task.id)
                continue
            entry = listed.get(path)
            if entry is None or entry.bytes != size:
                # Not (or no more) in the receipt: it is taken when its bytes are what its footer says they are.
                if not shard_is_whole(out, path, meta):
                    missing.add(task.id)
                    continue
                entry = FileEntry(sha256=out.sha256(path), bytes=size, rows=meta["rows"])
            entries[path] = entry
            excluded.extend(meta["exclusions"])
        return entries, excluded, missing

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        if tracks is None:
            return f"about {human_bytes(self._feature.clip_bytes())} a track"
        shards = context.receipt.shards or shard_count(tracks)
        return f"{tracks} clips in {shards} shards, about {human_bytes(tracks * self._feature.clip_bytes())}"
