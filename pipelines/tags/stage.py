"""The tags stage: two passes of tasks over the annotations, with the grouping between them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.progress import counter
from pipelines.stage import BuildContext, Stage, StageResult, written
from pipelines.tags.captions import Captioned, caption_tracks, captions_digest
from pipelines.tags.grouped import Grouped, grouped_tags
from pipelines.tags.grouping import TagGroup
from pipelines.tags.rules import load_rules, load_taxonomy
from pipelines.tags.steps import (
    count_tags,
    keep_frequent,
    keep_in_every_split,
    map_tags,
    merge_counts,
    require_published,
    tags_by_track,
)
from pipelines.tags.units import cleaned_unit, unit_count
from pipelines.task_runner import run_tasks
from pipelines.tasks import WORK_FOLDER, Task, TaskContext, TaskSet
from pipelines.videos.kept import only_kept
from schemas.coded import coded, compact, distinct_numbers
from schemas.digests import digest_of
from schemas.manifest import TagsSection
from schemas.reasons import Reason
from schemas.receipt import FunnelStep
from schemas.store import Store
from schemas.table import TableSchema
from schemas.tables import DROPPED_CAPTIONS, DROPPED_TAGS, EXCLUSIONS, LABELS, PUBLISHED, TAGS, TAXONOMY, TRACKS


class TagsStage(Stage):
    """annotations -> tags, dropped_tags and labels."""

    name = "tags"
    loads = ("pipelines.task_transform",)
    version = 4
    after: tuple[str, ...] = ("source",)

    def __init__(self, *, videos: bool = False) -> None:
        self._videos = videos
        if videos:
            self.after = ("source", "videos")

    def settings(self, context: BuildContext) -> Any:
        manifest = context.manifest
        return {
            "tags": manifest.tags.model_dump(mode="json"),
            "captions": captions_digest(manifest.captions),
            "rules": load_rules(manifest.tags.rules).digest(),
            "taxonomy": load_taxonomy(manifest.tags.rules).digest(),
        }

    def run(self, context: BuildContext) -> StageResult:
        out, settings = context.out, context.manifest.tags
        published = _table(out, PUBLISHED)
        if settings.min_tracks_per_split is not None:
            require_published(published)
        entry = context.receipt.stages["source"]
        videos = [context.receipt.stages["videos"].digest] if self._videos else []
        digest = digest_of([self.version, entry.digest, self.settings(context), *videos])
        counted = list(self._pass(context, "count", digest).values())
        counts = merge_counts(_read_parts(out, counted, "counts"))
        rules, taxonomy_rules = load_rules(settings.rules), load_taxonomy(settings.rules)
        # The source counted tags of what does not stay, too.
        typed = None if self._videos else entry.funnel[-1].tags
        # Tags are grouped by Python alone; Arrow counts meanwhile.
        with ThreadPoolExecutor(1) as pool:
            first_steps = pool.submit(lambda: _summed(counted, _read_parts(out, counted, "reached"), typed))
            grouped = grouped_tags(counts, rules, taxonomy_rules, _table(out, TAXONOMY), self.version)
        groups, dropped = grouped.groups, grouped.dropped
        _write_vocabulary(out, grouped, digest)
        mapped = list(self._pass(context, "map", digest).values())
        out.remove(_part_path(_VOCABULARY, digest))
        pairs = compact(pa.concat_tables([_PAIRS.empty_table(), *_read_parts(out, mapped, "pairs")]))
        kept, totals = keep_frequent(pairs, settings.min_tracks, settings.top)
        kept = compact(kept)
        last = [_step(_frequent(settings), kept, _distinct(kept, "tag"))]
        rare: dict[str, dict[str, int]] = {}
        if settings.min_tracks_per_split is not None:
            kept, rare = keep_in_every_split(kept, published, settings.min_tracks_per_split)
            step = f"tags on at least {settings.min_tracks_per_split} tracks in each published split"
            last.append(_step(step, kept, _distinct(kept, "tag")))

        tracks = TRACKS.read(out, ["track_id", "artist_id", "title"])
        if self._videos:
            tracks = only_kept(tracks, out)
        labels, captioned = _labels(context, tracks, kept, {group.tag: group.category for group in groups})
        vocabulary = _tags(groups, kept, tracks)
        in_use = set(vocabulary.column("tag").to_pylist())
        made = {
            TAGS.filename: TAGS.write(out, vocabulary),
            LABELS.filename: LABELS.write(out, labels),
            DROPPED_TAGS.filename: DROPPED_TAGS.write(
                out,
                _dropped_tags(
                    dropped, groups, in_use, totals, rare, {count.raw_tag: count.n_tracks for count in counts}
                ),
            ),
        }
        if captioned.dropped is not None:
            made[DROPPED_CAPTIONS.filename] = DROPPED_CAPTIONS.write(out, captioned.dropped)
        funnel = [
            *first_steps.result(),
            _preprocessed(mapped, set(grouped.words)),
            _step("grouped: tags of one meaning are one", pairs, len(groups)),
            *last,
            *captioned.funnel,
        ]
        return StageResult(
            written(out, made),
            funnel,
            [*_notes(vocabulary, groups, labels), *captioned.notes],
            _overtagged(pa.concat_tables(_read_parts(out, counted, "over")), settings),
        )

    def _pass(self, context: BuildContext, kind: str, digest: str) -> dict[str, dict[str, Any]]:
        units = unit_count(context.out)
        tasks = [Task(f"{kind}-{n:05d}", f"{digest}-{kind}-{n}", {"unit": n}) for n in range(units)]
        settings = context.manifest.tags.model_dump(mode="json")
        shared = {"settings": settings, "videos": self._videos, "digest": digest}
        work = TaskSet("tags", f"pipelines.tags.stage:{kind}_unit", tasks, shared, side_by_side=True)
        return run_tasks(work, context.out, context.engine, context.reporter)

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        return f"labels of {tracks} tracks" if tracks is not None else "tags and labels"


_VOCABULARY = "vocabulary"
_CODED = pa.dictionary(pa.int32(), pa.string())
_PAIRS = pa.schema([("track_id", _CODED), ("tag", _CODED)])


def count_unit(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Steps 1 to 3 on one unit, and how many tracks carry each tag."""
    settings = TagsSection.model_validate(context.shared["settings"])
    unit = cleaned_unit(context.out, spec["unit"], settings, videos=context.shared["videos"])
    parts = {
        "annotations": compact(unit.annotations.select(["track_id", "raw_tag"])),
        "counts": count_tags(unit.annotations),
        "over": unit.over,
        "reached": unit.reached,
    }
    paths = {name: _write_part(context, f"{name}-{spec['unit']:05d}", table) for name, table in parts.items()}
    counter(context.label).advance()
    return {**paths, "steps": unit.counts}


def map_unit(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Steps 4 and 5 on what is left of one unit: tags preprocessed, then replaced by their groups."""
    digest = context.shared["digest"]
    annotations = _read_part(context.out, _part_path(f"annotations-{spec['unit']:05d}", digest))
    vocabulary = _read_part(context.out, _part_path(_VOCABULARY, digest))
    here = pc.is_in(vocabulary.column("raw_tag"), value_set=coded(annotations.column("raw_tag")).values)
    vocabulary = vocabulary.filter(here)
    preprocessed = map_tags(annotations, vocabulary.select(["raw_tag", "words"]).rename_columns(["raw_tag", "tag"]))
    pairs = compact(map_tags(annotations, vocabulary.select(["raw_tag", "tag"])))
    path = _write_part(context, f"pairs-{spec['unit']:05d}", pairs)
    counter(context.label).advance()
    return {"pairs": path, "preprocessed": [_distinct(preprocessed, "track_id"), preprocessed.num_rows]}


def _table(out: Store, table: TableSchema) -> pa.Table:
    return table.read(out) if out.exists(table.filename) else table.empty()


def _write_vocabulary(out: Store, grouped: Grouped, digest: str) -> None:
    named = [(raw, group.tag) for group in grouped.groups for raw in group.members]
    table = pa.table(
        {
            "raw_tag": pa.array([raw for raw, _ in named], pa.string()),
            "words": pa.array(grouped.words, pa.string()),
            "tag": pa.array([tag for _, tag in named], pa.string()),
        }
    )
    with out.writing(_part_path(_VOCABULARY, digest)) as stream:
        pq.write_table(table, stream, compression="lz4")


def _write_part(context: TaskContext, name: str, table: pa.Table) -> str:
    path = _part_path(name, context.shared["digest"])
    with context.out.writing(path, context.require_wanted) as stream:
        pq.write_table(table, stream, compression="lz4")
    return path


def _part_path(name: str, digest: str) -> str:
    """A file of parts between the passes: those made from something else lie beside it."""
    return f"{WORK_FOLDER}/tags/{name}-{digest[:16]}.parquet"


def _read_part(out: Store, path: str) -> pa.Table:
    with out.open(path) as stream:
        return pq.read_table(stream)


def _read_parts(out: Store, results: list[dict[str, Any]], name: str) -> list[pa.Table]:
    return [_read_part(out, path) for path in sorted(result[name] for result in results)]


def _distinct(table: pa.Table, name: str) -> int:
    return coded(table.column(name)).occurring()


def _labels(
    context: BuildContext, tracks: pa.Table, pairs: pa.Table, categories: dict[str, str]
) -> tuple[pa.Table, Captioned]:
    """Labels of every track, and how its captions came about."""
    ids = tracks.column("track_id").combine_chunks()
    tags = tags_by_track(pairs, ids)
    captioned = caption_tracks(tracks, tags, categories, context.out, context.manifest.captions)
    return pa.table({"track_id": ids, "tags": tags, "caption": captioned.captions}), captioned


def _tags(groups: list[TagGroup], pairs: pa.Table, tracks: pa.Table) -> pa.Table:
    tags, tracks_of = coded(pairs.column("tag")), coded(pairs.column("track_id"))
    artists = coded(tracks.column("artist_id"))
    place = pc.index_in(tracks_of.values, value_set=tracks.column("track_id").combine_chunks())
    artist_of = artists.codes[pc.fill_null(place, 0).to_numpy()][tracks_of.codes]
    width = max(1, len(artists.values))
    n_artists = np.bincount(distinct_numbers(tags.codes * width + artist_of) // width, minlength=len(tags.values))
    n_tracks = np.bincount(tags.codes, minlength=len(tags.values))
    names = tags.values.to_pylist()
    by_tag = {tag: (t, a) for tag, t, a in zip(names, n_tracks.tolist(), n_artists.tolist(), strict=True) if t}
    return TAGS.from_rows(
        {
            "tag": group.tag,
            "category": group.category,
            "parent": group.parent,
            "members": list(group.members),
            "joined_by": list(group.joined_by),
            "n_tracks": by_tag[group.tag][0],
            "n_artists": by_tag[group.tag][1],
        }
        for group in groups
        if group.tag in by_tag
    )


def _dropped_tags(
    not_musical: dict[str, tuple[Reason, str]],
    groups: list[TagGroup],
    in_use: set[str],
    totals: dict[str, int],
    rare: dict[str, dict[str, int]],
    n_tracks: dict[str, int],
) -> pa.Table:
    """Rows of `dropped_tags`: what is not about the music, and the members of groups on too few tracks, in all or
    in a published split."""
    reasons = [(str(reason), detail) for reason, detail in not_musical.values()]
    raw = list(not_musical)
    for group in groups:
        if group.tag in rare:
            places = ", ".join(f"{number} of {split}" for split, number in rare[group.tag].items())
            reasons += [(str(Reason.TAG_RARE_IN_A_SPLIT), f"group {group.tag!r} is on {places}")] * len(
                group.members
            )
            raw += group.members
        elif group.tag not in in_use:
            detail = f"group {group.tag!r} is on {totals.get(group.tag, 0)} tracks"
            reasons += [(str(Reason.TAG_BELOW_MIN_TRACKS), detail)] * len(group.members)
            raw += group.members
    return pa.table(
        {
            "raw_tag": pa.array(raw, pa.string()),
            "reason": pa.array([reason for reason, _ in reasons], pa.string()),
            "detail": pa.array([detail for _, detail in reasons], pa.string()),
            "n_tracks": pa.array([n_tracks[tag] for tag in raw], pa.int64()),
        }
    )


def _overtagged(over: pa.Table, settings: TagsSection) -> pa.Table:
    limit = f" tags, limit {settings.max_tags_per_track}; the track goes on unlabelled"
    rows = over.num_rows
    table = {
        "id": over.column("track_id"),
        "stage": pa.repeat("tags", rows),
        "reason": pa.repeat(str(Reason.TAG_COUNT_OVER_LIMIT), rows),
        "detail": pc.binary_join_element_wise(over.column("tags").cast(pa.string()), limit, ""),
    }
    return EXCLUSIONS.conform(pa.table(table))


def _summed(results: list[dict[str, Any]], reached: list[pa.Table], typed: int | None) -> list[FunnelStep]:
    """Steps 1 to 3 over all units; a tag is in a step when it is so in any unit.

    Args:
        typed: how many tags the first step has; None when `reached` tells of all.
    """
    tables = pa.concat_tables(reached)
    tags = coded(tables.column("raw_tag"))
    farthest = np.zeros(len(tags.values), np.int64)
    steps = tables.column("steps").to_numpy()
    units = [result["steps"] for result in results]
    for number in range(1, max(map(len, units), default=0) + 1):
        farthest[tags.codes[steps == number]] = number
    return [
        FunnelStep(
            step=steps[0][0],
            tracks=sum(tracks for _, tracks, _ in steps),
            annotations=sum(rows for _, _, rows in steps),
            tags=typed if number == 1 and typed is not None else int((farthest >= number).sum()),
        )
        for number, steps in enumerate(zip(*units, strict=True), start=1)
    ]


def _preprocessed(results: list[dict[str, Any]], words: set[str]) -> FunnelStep:
    counts = [result["preprocessed"] for result in results]
    return FunnelStep(
        step="preprocessed, about the music",
        tracks=sum(tracks for tracks, _ in counts),
        annotations=sum(rows for _, rows in counts),
        tags=len(words),
    )


def _step(name: str, pairs: pa.Table, tags: int) -> FunnelStep:
    return FunnelStep(step=name, tracks=_distinct(pairs, "track_id"), annotations=pairs.num_rows, tags=tags)


def _frequent(settings: TagsSection) -> str:
    top = f", top {settings.top}" if settings.top else ""
    return f"tags on at least {settings.min_tracks} tracks{top}"


def _notes(vocabulary: pa.Table, groups: list[TagGroup], labels: pa.Table) -> list[str]:
    notes = []
    numbers = dict(zip(*(vocabulary.column(name).to_pylist() for name in ("tag", "n_tracks")), strict=True))
    kept = [group for group in groups if group.tag in numbers]
    if kept:
        joined = sum(len(group.members) for group in kept)
        by_rule = [numbers[group.tag] for group in kept if group.by_rule]
        share = sum(by_rule) / sum(numbers.values())
        notes.append(
            f"{joined} tags as typed became {len(kept)}; {len(by_rule)} of those ({len(by_rule) / len(kept):.1%}) "
            f"have their category by rule, as no list and no source has them: {share:.1%} of the annotations"
        )
    untagged = pc.equal(pc.list_value_length(labels.column("tags")), 0)
    mute = labels.column("caption").null_count
    worded = int(pc.sum(pc.and_(untagged, pc.is_valid(labels.column("caption")))).as_py() or 0)
    if worded:
        notes.append(f"{worded} tracks have no tag: their title or their source's sentence is their caption")
    if mute:
        notes.append(f"{mute} tracks have no caption: they are unlabelled")
    return notes
