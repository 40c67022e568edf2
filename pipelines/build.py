"""`tracklore build`: plan what stands and what is to be made, make it stage by stage, commit after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.costs.estimate import Cost, Items, items_of, source_cost, splits_cost, tags_cost, videos_cost
from pipelines.dataflow import is_dataflow, require_ready
from pipelines.directory import only_build, remove_work, require_ours
from pipelines.engine import Engine, quiet_beam
from pipelines.features.base import feature_of
from pipelines.features.media import Media, SourceMedia
from pipelines.features.stage import FeatureStage
from pipelines.loading_ahead import loading_ahead
from pipelines.locations import features_at
from pipelines.progress import Reporter, beat
from pipelines.recordings.stage import recordings_stages
from pipelines.sources.base import Source, SourceContext, source_class
from pipelines.sources.folder import AUDIO_SUFFIXES, Folder
from pipelines.sources.stage import SourceStage
from pipelines.splits.stage import SplitsStage
from pipelines.stage import BuildContext, Stage, StageResult, shown, written
from pipelines.tags.stage import TagsStage
from pipelines.task_runner import forget_other_tasks, forget_tasks
from pipelines.videos.media import VideoMedia
from pipelines.videos.place import VideoPlace
from pipelines.videos.stage import VideosStage
from pipelines.watch import watched
from schemas.digests import digest_of
from schemas.errors import DataError, UsageError, suggest
from schemas.manifest import Manifest
from schemas.receipt import Receipt, StageEntry, read_receipt
from schemas.store import Store
from schemas.tables import EXCLUSIONS, TRACKS

EXCLUSIONS_STAGE = "exclusions"


@dataclass(frozen=True)
class Planned:
    """One stage of the plan.

    Attributes:
        digest: what the stage's entry will say.
        stands: nothing to do.
        lost: files that the receipt lists and that are gone or changed.
        why: one line for a person.
    """

    stage: Stage
    digest: str
    selected: bool
    stands: bool
    lost: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Request:
    """What a build was asked for.

    Attributes:
        manifest, where, base: the recipe, how errors name it, and where its relative paths start.
        only: stages to make (with those before them); empty for all.
        check: read present files again instead of trusting their sizes, and the source's instead of their times.
        retry: make again what tracks left by a fault of the machine's.
    """

    manifest: Manifest
    where: str
    base: str | None
    out: Store
    engine: Engine
    only: Sequence[str] = ()
    check: bool = False
    retry: bool = False


@dataclass(frozen=True)
class Build:
    """What a build did.

    Attributes:
        receipt: as committed (as found, for a dry run).
        plan: rows (stage, what was to be done, counts and bytes).
        worked: whether any stage was run.
        to_make: of a dry run, what the stages to be made will take; and of what.
    """

    receipt: Receipt
    plan: list[tuple[str, str, str]]
    worked: bool
    to_make: tuple[Sequence[Cost], Items] | None = None


def stages_of(request: Request, reporter: Reporter, *, dry_run: bool = False) -> tuple[list[Stage], Source]:
    """Every stage of the manifest, in order.

    Raises:
        UsageError: the source or a feature has a key that is not known.
    """
    manifest = request.manifest
    cls, settings = source_class(manifest.source, request.where)
    features = [feature_of(name, section, request.where) for name, section in manifest.features.items()]
    context = SourceContext(
        request.out, request.base, request.engine, reporter, trust_stamps=not request.check, dry_run=dry_run
    )
    source = cls(settings, context)
    videos = manifest.videos
    made: list[Stage] = []
    media: Media = SourceMedia(source)
    if videos is not None:
        place = VideoPlace(videos, request.base, request.out)
        media = VideoMedia(place)
        made = [VideosStage(place, request.where)] if videos.at_hand else []
    recordings = recordings_stages(features, request.where)
    stages = [
        SourceStage(source),
        *made,
        TagsStage(videos=bool(made)),
        SplitsStage(recordings=bool(recordings), videos=bool(made)),
        *recordings,
        *(FeatureStage(feature, feature.media(media, request.base)) for feature in features),
    ]
    return in_order(stages), source


def in_order(stages: Sequence[Stage]) -> list[Stage]:
    """Every stage behind those that it reads; else in the order given.

    Raises:
        ValueError: stages that wait for each other, a fault of ours.
    """
    ordered: list[Stage] = []
    waiting = list(stages)
    while waiting:
        there = {stage.name for stage in ordered}
        ready = next((stage for stage in waiting if there.issuperset(stage.after)), None)
        if ready is None:
            raise ValueError(f"{shown(stage.name for stage in waiting)}: stages that wait for each other")
        waiting.remove(ready)
        ordered.append(ready)
    return ordered


def selected_names(stages: Sequence[Stage], only: Sequence[str]) -> set[str]:
    """The stages that `--only` asks for, and those that they come after.

    Raises:
        UsageError: a name that is no stage of the manifest.
    """
    by_name = {stage.name: stage for stage in stages}
    if not only:
        return set(by_name)
    wanted: set[str] = set()
    for name in only:
        found = [stage for stage in by_name if stage == name or stage.startswith(f"{name}.")]
        if not found:
            raise UsageError(f"--only {name}: the manifest has no such stage{suggest(name, by_name)}")
        wanted.update(found)
    frontier = list(wanted)
    while frontier:
        for name in by_name[frontier.pop()].after:
            if name not in wanted:
                wanted.add(name)
                frontier.append(name)
    return wanted


def plan(stages: Sequence[Stage], context: BuildContext, only: Sequence[str]) -> list[Planned]:
    """Decide for every stage whether it stands. Imports no Beam and computes nothing but digests; when nothing
    stands yet, and nothing will be run (`context.dry_run`), not even those."""
    selected = selected_names(stages, only)
    digests: dict[str, str] = {}
    planned = []
    excluded = _trusted_exclusions(context)
    retried: set[str] = set()
    for stage in stages:
        before = {name: digests[name] for name in stage.after}
        if context.dry_run and not context.receipt.stages:
            digest = ""
        else:
            digest = digest_of([stage.name, stage.version, stage.settings(context), before])
        digests[stage.name] = digest
        entry = context.receipt.stages.get(stage.name)
        lost: tuple[str, ...] = ()
        if entry is None:
            why = "is not there yet"
        elif entry.digest != digest:
            why = "was made from something else"
        elif excluded.get(stage.name) != digest:
            why = "lost its exclusions"
        else:
            lost = tuple(_lost_files(context, entry))
            why = f"{len(lost)} of {len(entry.files)} files are lost: {shown(lost, 2)}" if lost else ""
            again = stage.to_retry(context, entry) if context.retry else []
            if again:
                lost = tuple(dict.fromkeys([*lost, *again]))
                why = (
                    f"{len(again)} of {len(entry.files)} files lack tracks that are tried again: {shown(again, 2)}"
                )
            behind = sorted(retried & set(stage.after))
            if stage.name in selected and (again or behind):
                retried.add(stage.name)
            if behind and not why:
                why = f"is made from {shown(behind)}, where tracks are tried again"
            why = why or stage.unfinished(context)
        planned.append(Planned(stage, digest, stage.name in selected, not why, lost, why))
    return planned


def _trusted_exclusions(context: BuildContext) -> dict[str, str]:
    """The stages, with their digests, whose exclusions the table holds; none when the table is not to be trusted.

    The table says so itself: it is replaced whole, a moment before the receipt.
    """
    entry = context.receipt.stages.get(EXCLUSIONS_STAGE)
    if entry is None or (context.check and any(_lost_files(context, entry))):
        return {}
    stages: dict[str, str] = EXCLUSIONS.meta(context.out).get("stages", {})
    return stages


def _lost_files(context: BuildContext, entry: StageEntry) -> Iterator[str]:
    sizes: Sequence[int | None] = context.out.each(context.out.size, list(entry.files))
    for (path, file), size in zip(entry.files.items(), sizes, strict=True):
        beat()
        if size != file.bytes or (context.check and context.out.sha256(path) != file.sha256):
            yield path


def build(
    request: Request,
    reporter: Reporter,
    *,
    dry_run: bool = False,
    ahead: Sequence[str] = (),
    views: Callable[[Build], None] = lambda _: None,
) -> Build:
    """Make what the manifest describes and does not stand yet.

    Args:
        ahead: modules that the caller will need behind a build that had work to do.
        views: writes what is made from the dataset, while no other build may work in the directory.

    Raises:
        UsageError: wrong configuration, or a directory of another dataset.
        DataError: the source or an engine failed.
    """
    manifest, out = request.manifest, request.out
    if is_dataflow(request.engine.runner):
        require_ready(request.engine, out, dry_run=dry_run)
    require_ours(out, read_receipt(out), manifest.name, request.where)
    request = replace(request, manifest=features_at(manifest, request.base))
    with only_build(out, dry_run=dry_run, say=reporter.say):
        # Read again: the build that held the directory before may just have committed.
        found = read_receipt(out)
        limit_s = request.engine.stall_s
        with watched("plan", limit_s):
            stages, source = stages_of(request, reporter, dry_run=dry_run)
        recipe = manifest.recipe(without=source.LOCATION_KEYS)
        named = {"manifest": manifest.digest(without=source.LOCATION_KEYS), "recipe": recipe}
        receipt = found or Receipt(name=manifest.name, manifest=str(named["manifest"]))
        context = BuildContext(
            request.manifest,
            request.where,
            out,
            request.engine,
            reporter,
            receipt,
            request.check,
            dry_run,
            request.base,
            request.retry,
        )
        if not dry_run:
            out.remove_abandoned()
        with watched("plan", limit_s):
            planned = plan(stages, context, request.only)
            rows = plan_rows(planned, context)
            if dry_run:
                return Build(receipt, rows, False, _to_make(planned, context, source))
        forget_other_tasks([item.stage.name for item in planned if not item.stands], out)
        remove_work(out)
        to_do = [item for item in planned if item.selected and not item.stands]
        for item in to_do:
            with watched(item.stage.name, limit_s):
                item.stage.preflight(context)
        context.receipt = _valid_part(receipt, planned).model_copy(update=named)
        if context.receipt != found:
            context.receipt.write(out)
        if not to_do:
            _mend_exclusions(context, planned)
            made = Build(context.receipt, rows, False)
            views(made)
            return made
        quiet_beam()
        later = [name for item in to_do[1:] for name in item.stage.loads]
        with loading_ahead([*later, *ahead]):
            with watched("source", limit_s):
                before = source.inputs_digest()
            _make(to_do, stages, planned, context, request.only)
            with watched("source", limit_s):
                _require_unchanged(before, request, reporter, out)
            made = Build(context.receipt, rows, True)
            views(made)
        if not request.only:  # what a stage still lacks may be written by a job that outlived its build
            out.remove_temporaries()  # of workers that an engine lost on the way
        return made


def _make(
    to_do: Sequence[Planned],
    stages: Sequence[Stage],
    planned: Sequence[Planned],
    context: BuildContext,
    only: Sequence[str],
) -> None:
    """Run what is to be done, and commit after each stage."""
    waiting = list(to_do)
    while waiting:
        item = waiting.pop(0)
        for path in item.lost:  # what is there and is not what the receipt says would only be taken again
            context.out.remove(path)
        context.out.require_allowed()
        expected = item.stage.expected(context, _track_count(context, planned))
        context.reporter.say(f"{item.stage.name}: {expected}")
        with watched(item.stage.name, context.engine.stall_s):
            result = item.stage.run(context)
        if item.stage.gathers:
            planned = plan(stages, context, only)
            context.receipt = _valid_part(context.receipt, planned)
            place = next(n for n, again in enumerate(planned) if again.stage is item.stage)
            item = planned[place]
            waiting = [again for again in planned[place + 1 :] if again.selected and not again.stands]
        _commit(item, result, context, planned)


def _require_unchanged(before: str, request: Request, reporter: Reporter, out: Store) -> None:
    """Refuse what was made from files that changed meanwhile, for another part of it may be as they were before.

    Files that came or went are no such ones, nor are those that no feature was made of: what is missed is among the
    exclusions.

    Args:
        before: digest of the source's inputs, taken when the build began.

    Raises:
        DataError: naming the first files.
    """
    _, source = stages_of(request, reporter)
    if source.inputs_digest() == before:
        return
    now = source.inputs()
    rows = TRACKS.read(out, ["track_id", "audio_uri", "audio_sha256"]).to_pylist()
    read = [row for row in rows if row["audio_uri"] in now]
    told = _without_features(out)
    changed = sorted(
        row["audio_uri"]
        for row in read
        if row["audio_sha256"] not in (None, now[row["audio_uri"]]) and row["track_id"] not in told
    )
    if changed or not read:
        what = shown(changed) if changed else "its tables"
        raise DataError(f"source: {what} changed while the dataset was built; build again to take it as it is now")


def _without_features(out: Store) -> set[str]:
    """The tracks that every feature excluded."""
    receipt = read_receipt(out)
    features = [] if receipt is None else [name for name in receipt.stages if name.startswith("features.")]
    table = EXCLUSIONS.read(out, ["id", "stage"])
    each = [set(table.filter(pc.equal(table.column("stage"), name)).column("id").to_pylist()) for name in features]
    return set.intersection(*each) if each else set()


def _to_make(planned: Sequence[Planned], context: BuildContext, source: Source) -> tuple[Sequence[Cost], Items]:
    """What the stages that would be made will take, as far as it is known."""
    media, tracks = source.audio(), _track_count(context, planned)
    files = media.list() if media is not None and media.root_exists() else []
    sound = [info for info in files if PurePosixPath(info.path).suffix.lower() in AUDIO_SUFFIXES]
    stands = next(item.stands for item in planned if isinstance(item.stage, SourceStage))
    entry = context.receipt.stages["source"] if stands else None
    items = items_of(context.out, entry, tracks, sound, probed=isinstance(source, Folder))
    costs, without = [], []
    for item in planned:
        stage = item.stage
        if item.stands or not item.selected:
            continue
        if isinstance(stage, FeatureStage):
            costs.append(stage.cost(items, context, item.lost))
        elif stage.name in _COSTS:
            costs.append(_COSTS[stage.name](items))
        else:
            without.append(f"the stage {stage.name}")
        if isinstance(stage, VideosStage):
            without += stage.not_reckoned()
    return costs, replace(items, not_reckoned=tuple(without))


_COSTS = {"source": source_cost, "tags": tags_cost, "splits": splits_cost, "videos": videos_cost}


def _track_count(context: BuildContext, planned: Sequence[Planned]) -> int | None:
    entry = context.receipt.stages.get("source")
    if entry is not None:
        return entry.files[TRACKS.filename].rows
    source = planned[0].stage
    return source.expected_tracks() if isinstance(source, SourceStage) else None


def plan_rows(planned: Sequence[Planned], context: BuildContext) -> list[tuple[str, str, str]]:
    """The plan as rows (stage, what happens, counts and bytes)."""
    tracks = _track_count(context, planned)
    rows = []
    for item in planned:
        if item.stands:
            entry = context.receipt.stages[item.stage.name]
            size = sum(file.bytes for file in entry.files.values())
            rows.append((item.stage.name, "stands", f"{len(entry.files)} files, {size:,} bytes"))
        elif not item.selected:
            rows.append((item.stage.name, f"not asked for ({item.why})", ""))
        elif item.lost and item.stage.repairable():
            rows.append((item.stage.name, f"mend: {item.why}", ""))
        else:
            rows.append((item.stage.name, f"make: {item.why}", item.stage.expected(context, tracks)))
    return rows


def _valid_part(receipt: Receipt, planned: Sequence[Planned]) -> Receipt:
    """The receipt without what is stale, so that it is true at every moment, also when the build is killed.

    A lost file stays listed until it is made again: whoever reads the directory, and the next plan, misses it.
    """
    by_name = {item.stage.name: item for item in planned}
    kept = {}
    for name, entry in receipt.stages.items():
        item = by_name.get(name)
        mendable = item is not None and bool(item.lost) and item.stage.repairable()
        if name == EXCLUSIONS_STAGE or mendable or (item is not None and item.stands):
            kept[name] = entry
    return receipt.model_copy(update={"stages": kept})


def _commit(item: Planned, result: StageResult, context: BuildContext, planned: Sequence[Planned]) -> None:
    """Write the exclusions of all that stands, then the receipt. Readers see the old receipt or the new."""
    name, out = item.stage.name, context.out
    stages = {k: v for k, v in context.receipt.stages.items() if k not in (name, EXCLUSIONS_STAGE)}
    digests = {p.stage.name: p.digest for p in planned}
    stages[EXCLUSIONS_STAGE] = _write_exclusions(out, {k: digests[k] for k in stages}, {name: item.digest}, result)
    stages[name] = StageEntry(
        version=item.stage.version,
        digest=item.digest,
        files=dict(result.files),
        funnel=result.funnel,
        notes=result.notes,
    )
    order = [p.stage.name for p in planned] + [EXCLUSIONS_STAGE]
    ordered = {key: stages[key] for key in order if key in stages}
    shards = result.shards if result.shards is not None else context.receipt.shards
    context.receipt = context.receipt.model_copy(update={"stages": ordered, "shards": shards})
    context.receipt.write(out)
    forget_tasks(name, out)
    remove_work(out)


def _write_exclusions(
    out: Store, standing: dict[str, str], new: dict[str, str], result: StageResult | None
) -> StageEntry:
    """Write the exclusions of the standing stages, as the table has them, with those of a new one."""
    previous = EXCLUSIONS.meta(out).get("stages", {})
    kept_stages = {name: digest for name, digest in standing.items() if previous.get(name) == digest}
    table = EXCLUSIONS.read(out) if kept_stages else EXCLUSIONS.empty()
    parts = {name: table.filter(pc.equal(table.column("stage"), name)) for name in kept_stages}
    if result is not None:
        parts.update(dict.fromkeys(new, result.exclusions))
    # Stages without exclusions of their own are named too: it is known that they have none.
    meta = {"stages": {**kept_stages, **new}}
    # Stage by stage, as the table is sorted: then there is nothing to sort.
    ordered = [EXCLUSIONS.empty(), *(parts[name] for name in sorted(parts))]
    rows = EXCLUSIONS.write(out, pa.concat_tables(ordered), meta)
    files = written(out, {EXCLUSIONS.filename: rows})
    return StageEntry(version=EXCLUSIONS.version, digest=digest_of(meta), files=files)


def _mend_exclusions(context: BuildContext, planned: Sequence[Planned]) -> None:
    """A build that was killed between the table and the receipt left them telling different stories."""
    entry = context.receipt.stages.get(EXCLUSIONS_STAGE)
    if entry is None or not any(_lost_files(context, entry)):
        return
    stages = {k: v for k, v in context.receipt.stages.items() if k != EXCLUSIONS_STAGE}
    digests = {p.stage.name: p.digest for p in planned}
    mended = _write_exclusions(context.out, {k: digests[k] for k in stages}, {}, None)
    context.receipt = context.receipt.model_copy(update={"stages": {**stages, EXCLUSIONS_STAGE: mended}})
    context.receipt.write(context.out)
