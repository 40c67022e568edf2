"""The stage of one feature: tracks -> shards that stand by themselves, each made again alone when it is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.costs.estimate import Cost, Items, feature_cost
from pipelines.dataflow import require_visible
from pipelines.engine import silence_beam
from pipelines.features.base import Feature
from pipelines.features.isolation import isolation, stop
from pipelines.features.media import Media, MediaRef
from pipelines.features.quiet import quiet_decoders
from pipelines.features.shard_task import shard_stands
from pipelines.memory import tracks_held
from pipelines.stage import BuildContext, Stage, StageResult, human_bytes, shown
from pipelines.task_runner import run_tasks
from pipelines.tasks import Task, TaskSet
from schemas.digests import canonical_json, digest_of
from schemas.errors import DataError, UsageError
from schemas.reasons import FAULTS_OF_THE_MACHINE, Reason
from schemas.receipt import FileEntry, FunnelStep, StageEntry
from schemas.shards import read_shard_meta, shard_count, shard_digest, shard_of, shard_path
from schemas.store import Store
from schemas.tables import EXCLUSIONS, SPLITS
from schemas.tables.splits import DEFAULT_SCHEME

AHEAD_PER_THREAD = 2


class FeatureStage(Stage):
    """Computes one feature for every track that has the media; splits matter to it only when it names some."""

    version = 2

    def __init__(self, feature: Feature, media: Media) -> None:
        self.name = f"features.{feature.name}"
        self.after = (*media.after, "splits") if feature.settings.splits else media.after
        self._feature = feature
        self._media = media

    def settings(self, context: BuildContext) -> Any:
        spec, splits = self._feature.spec(), self._feature.settings.splits
        tensors = {"spec": dict(spec.settings), "dtype": spec.dtype, "shape": list(spec.shape)}
        inputs = self._media.inputs(trust_stamps=not context.check)
        # Only where there are any: what has none stands as it did.
        asked = {"splits": sorted(splits)} if splits else {}
        return {**tensors, **asked, **({"inputs": digest_of(inputs)} if inputs else {})}

    def repairable(self) -> bool:
        return True

    def to_retry(self, context: BuildContext, entry: StageEntry) -> list[str]:
        table = EXCLUSIONS.read(context.out)
        ours = pc.and_(
            pc.equal(table.column("stage"), self.name),
            pc.is_in(table.column("reason"), value_set=pa.array(sorted(FAULTS_OF_THE_MACHINE), pa.string())),
        )
        count = context.receipt.shards
        tracks = table.filter(ours).column("id").to_pylist()
        if count is None:
            return []
        paths = {shard_path(self._feature.name, shard_of(track, count), count) for track in tracks}
        return sorted(paths & set(entry.files))

    def _ahead(self, context: BuildContext) -> int:
        """How many tracks may wait to be written.

        Raises:
            UsageError: the limit on memory is not enough for one.
        """
        engine = context.engine
        key = f"{context.where}: features.{self._feature.name}.segments"
        wanted = engine.threads * (AHEAD_PER_THREAD if engine.memory_bytes is None else 1)
        return tracks_held(engine, self._feature.clip_bytes(), self._feature.BATCH, wanted, key)

    def preflight(self, context: BuildContext) -> None:
        self._ahead(context)
        require_visible(context.engine, self._store(context), f"{context.where}: features.{self._feature.name}")
        unknown = set(self._feature.settings.splits) - set(context.manifest.splits.ratios)
        if unknown:
            raise UsageError(
                f"{context.where}: features.{self._feature.name}.splits: {shown(sorted(unknown))} is no split of "
                f"splits.ratios ({', '.join(context.manifest.splits.ratios)})"
            )
        if self._all_there(context.out):
            return
        if self._store(context).is_shared:
            section = context.manifest.features[self._feature.name].model_dump(mode="json")
            isolation().prepare(self._feature.name, canonical_json(section))
        else:
            self._feature.prepare()

    def _some_there(self, out: Store) -> bool:
        """Whether there are files of shards, some of which may be what is wanted."""
        return bool(out.list(f"features/{self._feature.name}"))

    def _all_there(self, out: Store) -> bool:
        """Whether there is a file for every shard, so that there may be nothing to compute and nothing to load."""
        files = {info.path for info in out.list(f"features/{self._feature.name}")}
        return bool(files) and files == {
            shard_path(self._feature.name, number, len(files)) for number in range(len(files))
        }

    def _store(self, context: BuildContext) -> Store:
        store = self._media.store()
        if store is None:
            needs = {"audio": "sound", "video": "pictures"}[self._feature.MEDIA]
            raise UsageError(f"{context.where}: features.{self._feature.name} needs {needs}; {self._media.way_out}")
        return store

    def run(self, context: BuildContext) -> StageResult:
        store, out = self._store(context), context.out
        refs, without = self._media.refs(out, self._feature.MEDIA)
        if not refs:
            raise DataError(
                f"{self.name}: none of {len(without)} tracks names a file ({shown(without)}); {self._media.way_out}"
            )
        count = context.receipt.shards or shard_count(len(refs) + len(without))
        if self._feature.settings.splits:
            wanted = tracks_in(out, self._feature.settings.splits)
            refs = [ref for ref in refs if ref.track_id in wanted]
            without = [track for track in without if track in wanted]
        tasks = self._tasks(context, refs, count)
        work = TaskSet(
            self.name,
            "pipelines.features.shard_task:write_shard",
            (),
            {
                "name": self._feature.name,
                "section": context.manifest.features[self._feature.name].model_dump(mode="json"),
                "media": store.root,
                "limits": [context.engine.track_timeout_s, context.engine.track_bytes],
                "ahead": self._ahead(context),
                # Jobs that make other shards are told by it, whatever of them is still to be made.
                "tasks": digest_of([task.digest for task in tasks]),
            },
            stands="pipelines.features.shard_task:shard_stands",
        )
        others = work.specs_of_others(out)
        entries, excluded, missing = self._standing(context, tasks)
        work = replace(work, tasks=[task for task in tasks if task.id in missing])
        try:
            with quiet_decoders() if context.engine.is_local else nullcontext():
                results = run_tasks(work, out, context.engine, context.reporter)
        except BaseException:
            silence_beam()
            stop()  # else its threads would wait for their decoders before this process could end
            raise
        isolation().end_idle()
        if others:
            self._require_untouched(out, [task for task in tasks if task.id not in missing], entries)
        for result in results.values():
            keys = ("sha256", "bytes", "rows")
            entries[result["path"]] = FileEntry.model_validate({key: result[key] for key in keys})
            excluded.extend(result["exclusions"])
        names = ("id", "reason", "detail")
        excluded.extend([track, str(Reason.NO_AUDIO), self._media.way_out] for track in without)
        rows = [{"stage": self.name, **dict(zip(names, row, strict=True))} for row in excluded]
        clips = sum(entry.rows for entry in entries.values())
        left = len({row["id"] for row in rows})
        return StageResult(
            dict(sorted(entries.items())),
            [
                FunnelStep(step="with sound", tracks=len(refs) + len(without)),
                FunnelStep(step="in shards", tracks=len(refs) + len(without) - left),
            ],
            [
                f"{clips} clips in {count} shards, {human_bytes(sum(e.bytes for e in entries.values()))}",
                *_told(clips, rows),
            ],
            EXCLUSIONS.from_rows(rows),
            shards=count,
        )

    def _tasks(self, context: BuildContext, refs: list[MediaRef], count: int) -> list[Task]:
        """One task a shard. Its digest changes with its own tracks and the settings, and with nothing else."""
        members: list[list[list[Any]]] = [[] for _ in range(count)]
        contents: list[list[Any]] = [[] for _ in range(count)]
        for ref in refs:
            shard = shard_of(ref.track_id, count)
            members[shard].append([ref.track_id, ref.uri, ref.start_s, ref.end_s])
            contents[shard].append([ref.track_id, ref.sha256 or ref.uri, ref.start_s, ref.end_s])
        # Not its inputs: each shard has the digests of its own.
        settings = [self.version, {k: v for k, v in self.settings(context).items() if k != "inputs"}]
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
        listed = context.receipt.files()

        def standing(task: Task) -> tuple[FileEntry, list[list[Any]]] | None:
            return _standing_shard(context.out, task, listed.get(task.spec["path"]))

        entries: dict[str, FileEntry] = {}
        excluded: list[list[Any]] = []
        missing: set[str] = set()
        known: Sequence[tuple[FileEntry, list[list[Any]]] | None]
        if context.out.is_local:
            with ThreadPoolExecutor(context.engine.threads) as pool:
                known = list(pool.map(standing, tasks))
        else:
            known = context.out.each(standing, tasks)
        for task, found in zip(tasks, known, strict=True):
            if found is None:
                missing.add(task.id)
            else:
                entries[task.spec["path"]] = found[0]
                excluded.extend(found[1])
        return entries, excluded, missing

    def _require_untouched(self, out: Store, tasks: list[Task], entries: Mapping[str, FileEntry]) -> None:
        """Refuse shards that stood, and that the job of another build has written over since.

        Raises:
            DataError: naming the first of them.
        """

        def stands(task: Task) -> bool:
            path = task.spec["path"]
            return shard_stands(out, {"path": path, "bytes": entries[path].bytes, "digest": task.digest})

        kept = out.each(stands, tasks)
        lost = [task.spec["path"] for task, stood in zip(tasks, kept, strict=True) if not stood]
        if lost:
            raise DataError(
                f"{self.name}: {shown(lost, 2)} changed under the build: a job of another build was still at work; "
                "build again to make it anew"
            )

    def cost(self, items: Items, context: BuildContext, lost: Sequence[str]) -> Cost:
        """What it takes to compute the feature of so many tracks, or those of its shards that are lost alone."""
        cost = feature_cost(self._feature, items, context.receipt.shards)
        if lost:
            return cost.of_files(len(lost), len(context.receipt.stages[self.name].files))
        if not self._some_there(context.out):
            return cost
        kept = f"that shards of {self.name} stay whose tracks are as they were"
        return replace(cost, not_reckoned=(*cost.not_reckoned, kept))

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        if tracks is None:
            return f"about {human_bytes(self._feature.clip_bytes())} a track"
        shards = context.receipt.shards or shard_count(tracks)
        # Shards stay whose tracks are as they were: only a look at each can tell how many.
        how = "at most" if self._some_there(context.out) else "about"
        return f"{tracks} clips in {shards} shards, {how} {human_bytes(tracks * self._feature.clip_bytes())}"


def _told(clips: int, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is to be said of a feature that came to nothing."""
    if clips:
        return []
    if not rows:
        return ["no track gave a clip: none lies in its splits"]
    reasons = Counter(row["reason"] for row in rows)
    return [f"no track gave a clip: {', '.join(f'{count} {reason}' for reason, count in sorted(reasons.items()))}"]


def tracks_in(out: Store, splits: Collection[str]) -> set[str]:
    """The tracks that lie in one of the splits of the scheme `default`."""
    table = SPLITS.read(out)
    wanted = pc.and_(
        pc.equal(table.column("scheme"), DEFAULT_SCHEME),
        pc.is_in(table.column("split"), value_set=pa.array(sorted(splits), pa.string())),
    )
    return set(table.filter(wanted).column("track_id").to_pylist())


def _standing_shard(out: Store, task: Task, entry: FileEntry | None) -> tuple[FileEntry, list[list[Any]]] | None:
    """The entry and the exclusions of a shard that is what its task would write, or None."""
    path = task.spec["path"]
    size = out.size(path)
    meta = read_shard_meta(out, path) if size is not None else None
    if size is None or meta is None or meta.get("digest") != task.digest:
        return None
    if entry is None or entry.bytes != size:
        # Not (or no more) in the receipt: it is taken when its bytes are what its footer says they are.
        digest = shard_digest(out, path, meta)
        if digest is None:
            return None
        entry = FileEntry(sha256=digest, bytes=size, rows=meta["rows"])
    return entry, meta["exclusions"]
