"""The tags stage: two passes of tasks over the annotations, with the grouping between them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.progress import counter
from pipelines.stage import BuildContext, Stage, StageResult, written
from pipelines.tags.captions import Captioned, caption_tracks, captions_digest
from pipelines.tags.grouping import TagGroup, group_tags
from pipelines.tags.normalise import Normaliser
from pipelines.tags.rules import load_rules
from pipelines.tags.steps import count_tags, keep_frequent, map_tags, merge_counts, tags_by_track
from pipelines.tags.units import cleaned_unit, unit_count
from pipelines.task_runner import run_tasks
from pipelines.tasks import Task, TaskContext, TaskSet
from schemas.digests import digest_of
from schemas.manifest import TagsSection
from schemas.reasons import Reason
from schemas.receipt import FunnelStep
from schemas.store import Store
from schemas.tables import DROPPED_CAPTIONS, DROPPED_TAGS, EXCLUSIONS, LABELS, TAGS, TRACKS

_VOCABULARY = ".work/tags/vocabulary.parquet"


class TagsStage(Stage):
    """annotations -> tags, dropped_tags and labels."""

    name = "tags"
    version = 1
    after = ("source",)

    def settings(self, context: BuildContext) -> Any:
        manifest = context.manifest
        return {
            "tags": manifest.tags.model_dump(mode="json"),
            "captions": captions_digest(manifest.captions),
            "rules": load_rules(manifest.tags.rules).digest(),
        }

    def run(self, context: BuildContext) -> StageResult:
        out, settings = context.out, context.manifest.tags
        entry = context.receipt.stages["source"]
        digest = digest_of([self.version, entry.digest, self.settings(context)])
        counted = self._pass(context, "count", digest)
        counts = merge_counts(_read_parts(out, [result["part"] for result in counted.values()]))
        groups, dropped = group_tags(counts, Normaliser(load_rules(settings.rules)))
        rows = [(raw, group.tag) for group in groups for raw in group.members]
        with out.writing(_VOCABULARY) as stream:
            pq.write_table(pa.table({"raw_tag": [r for r, _ in rows], "tag": [t for _, t in rows]}, _PAIRS), stream)
        mapped = self._pass(context, "map", digest)
        pairs = pa.concat_tables(_read_parts(out, [result["part"] for result in mapped.values()]))
        kept, totals = keep_frequent(pairs, settings.min_tracks, settings.top)

        tracks = TRACKS.read(out, ["track_id", "artist_id", "title"])
        labels, captioned = _labels(context, tracks, kept, {group.tag: group.category for group in groups})
        vocabulary = _tags(groups, kept, tracks)
        in_use = set(vocabulary.column("tag").to_pylist())
        numbers = {count.raw_tag: count.n_tracks for count in counts}
        leaving = [(raw, reason, detail, numbers[raw]) for raw, (reason, detail) in dropped.items()]
        leaving += [
            (
                raw,
                Reason.TAG_BELOW_MIN_TRACKS,
                f"group {group.tag!r} is on {totals.get(group.tag, 0)} tracks",
                numbers[raw],
            )
            for group in groups
            if group.tag not in in_use
            for raw in group.members
        ]
        keys = ("raw_tag", "reason", "detail", "n_tracks")
        made = {
            TAGS.filename: TAGS.write(out, vocabulary),
            LABELS.filename: LABELS.write(out, labels),
            DROPPED_TAGS.filename: DROPPED_TAGS.write(
                out, DROPPED_TAGS.from_rows(dict(zip(keys, row, strict=True)) for row in leaving)
            ),
        }
        if captioned.dropped is not None:
            made[DROPPED_CAPTIONS.filename] = DROPPED_CAPTIONS.write(out, captioned.dropped)
        funnel = _added([result["counts"] for result in counted.values()])
        funnel += [
            _step("grouped, about the music", pairs, len(groups)),
            _step(_frequent(settings), kept, len(in_use)),
            *captioned.funnel,
        ]
        return StageResult(
            written(out, made),
            funnel,
            [*_notes(groups, in_use, labels), *captioned.notes],
            _overtagged(out, [result["over"] for result in counted.values()], settings),
        )

    def _pass(self, context: BuildContext, kind: str, digest: str) -> dict[str, dict[str, Any]]:
        units = unit_count(context.out)
        tasks = [Task(f"{kind}-{n:05d}", f"{digest}-{kind}-{n}", {"unit": n}) for n in range(units)]
        shared = {"settings": context.manifest.tags.model_dump(mode="json")}
        work = TaskSet("tags", f"pipelines.tags.stage:{kind}_unit", tasks, shared)
        return run_tasks(work, context.out, context.engine, context.reporter)

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        return f"labels of {tracks} tracks" if tracks is not None else "tags and labels"


_PAIRS = pa.schema([("raw_tag", pa.string()), ("tag", pa.string())])


def count_unit(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Steps 1 to 3 on one unit, and how many tracks carry each tag."""
    settings = TagsSection.model_validate(context.shared["settings"])
    annotations, over, counts = cleaned_unit(context.out, spec["unit"], settings)
    part = _write_part(context, f"counted-{spec['unit']:05d}", count_tags(annotations))
    left = _write_part(context, f"over-{spec['unit']:05d}", over)
    counter(context.label).advance()
    return {"part": part, "over": left, "counts": counts}


def map_unit(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Steps 1 to 3 on one unit, tags replaced by their groups."""
    settings = TagsSection.model_validate(context.shared["settings"])
    annotations, _, _ = cleaned_unit(context.out, spec["unit"], settings)
    with context.out.open(_VOCABULARY) as stream:
        pairs = map_tags(annotations, pq.read_table(stream))
    part = _write_part(context, f"mapped-{spec['unit']:05d}", pairs)
    counter(context.label).advance()
    return {"part": part}


def _write_part(context: TaskContext, name: str, table: pa.Table) -> str:
    path = f".work/tags/{name}.parquet"
    with context.out.writing(path) as stream:
        pq.write_table(table, stream, compression="zstd")
    return path


def _read_parts(out: Store, paths: list[str]) -> list[pa.Table]:
    tables = []
    for path in sorted(paths):
        with out.open(path) as stream:
            tables.append(pq.read_table(stream))
    return tables


def _labels(
    context: BuildContext, tracks: pa.Table, pairs: pa.Table, categories: dict[str, str]
) -> tuple[pa.Table, Captioned]:
    """Labels of every track, and how its captions came about."""
    ids = tracks.column("track_id").combine_chunks()
    tags = tags_by_track(pairs, ids)
    captioned = caption_tracks(tracks, tags, categories, context.out, context.manifest.captions)
    return pa.table({"track_id": ids, "tags": tags, "caption": captioned.captions}), captioned


def _tags(groups: list[TagGroup], pairs: pa.Table, tracks: pa.Table) -> pa.Table:
    artists = pairs.join(tracks.select(["track_id", "artist_id"]), "track_id")
    counts = artists.group_by("tag").aggregate([("track_id", "count"), ("artist_id", "count_distinct")])
    by_tag = {row["tag"]: (row["track_id_count"], row["artist_id_count_distinct"]) for row in counts.to_pylist()}
    return TAGS.from_rows(
        {
            "tag": group.tag,
            "category": group.category,
            "members": list(group.members),
            "joined_by": list(group.joined_by),
            "n_tracks": by_tag[group.tag][0],
            "n_artists": by_tag[group.tag][1],
        }
        for group in groups
        if group.tag in by_tag
    )


def _overtagged(out: Store, paths: list[str], settings: TagsSection) -> pa.Table:
    rows = [row for table in _read_parts(out, paths) for row in table.to_pylist()]
    return EXCLUSIONS.from_rows(
        {
            "id": row["track_id"],
            "stage": "tags",
            "reason": str(Reason.TAG_COUNT_OVER_LIMIT),
            "detail": f"{row['tags']} tags, limit {settings.max_tags_per_track}; the track goes on unlabelled",
        }
        for row in rows
    )


def _added(parts: list[list[list[Any]]]) -> list[FunnelStep]:
    steps: dict[str, tuple[int, int]] = {}
    for part in parts:
        for name, tracks, rows in part:
            before = steps.get(name, (0, 0))
            steps[name] = (before[0] + tracks, before[1] + rows)
    return [FunnelStep(step=name, tracks=t, annotations=a) for name, (t, a) in steps.items()]


def _step(name: str, pairs: pa.Table, tags: int) -> FunnelStep:
    tracks = pc.count_distinct(pairs.column("track_id")).as_py()
    return FunnelStep(step=name, tracks=int(tracks), annotations=pairs.num_rows, tags=tags)


def _frequent(settings: TagsSection) -> str:
    top = f", top {settings.top}" if settings.top else ""
    return f"tags on at least {settings.min_tracks} tracks{top}"


def _notes(groups: list[TagGroup], in_use: set[str], labels: pa.Table) -> list[str]:
    notes = []
    kept = [group for group in groups if group.tag in in_use]
    joined = sum(len(group.members) for group in kept)
    if kept:
        by_rule = sum(group.by_rule for group in kept)
        notes.append(f"{joined} tags as typed became {len(kept)}; {by_rule} of those have their category by rule")
    untagged = pc.equal(pc.list_value_length(labels.column("tags")), 0)
    mute = labels.column("caption").null_count
    worded = int(pc.sum(pc.and_(untagged, pc.is_valid(labels.column("caption")))).as_py() or 0)
    if worded:
        notes.append(f"{worded} tracks have no tag: their title or their source's sentence is their caption")
    if mute:
        notes.append(f"{mute} tracks have no caption: they are unlabelled")
    return notes
