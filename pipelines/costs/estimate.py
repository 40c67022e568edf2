"""What the stages of a plan will take: CPU, bytes, time on so many workers, and money on Dataflow.

Tracks are taken to be as those that were measured: what no table says yet is assumed, and the assumptions are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.costs.measured import REFERENCE_FORMAT, Measured, measured
from pipelines.costs.prices import Machine, Prices
from pipelines.dataflow import is_dataflow, options_of_flags
from pipelines.engine import Engine
from pipelines.features.base import Feature
from pipelines.features.segments import Segments
from pipelines.sources.inventory import FILES_PER_TASK
from pipelines.tags.units import GROUPS_PER_UNIT
from pipelines.videos.stage import VIDEOS_PER_TASK
from schemas.errors import DataError, suggest
from schemas.receipt import StageEntry
from schemas.shards import TRACKS_PER_SHARD
from schemas.store import FileInfo, Store
from schemas.table import ROWS_PER_GROUP
from schemas.tables import ANNOTATIONS, TRACKS

USUAL_TRACK_S = 240.0
ANNOTATIONS_A_TRACK = 10
ROWS_PER_UNIT = GROUPS_PER_UNIT * ROWS_PER_GROUP
LOCAL_MACHINE = Machine(cores=1, memory_gb=0)


@dataclass(frozen=True)
class Items:
    """What a dataset has, as far as it is known before.

    Attributes:
        tracks: how many.
        seconds: of each track, as pairs (seconds, how many tracks).
        annotations: rows.
        suffixes: of the files, with how many there are of each.
        file_bytes: of all files; 0 where they are not listed.
        probed: whether the files themselves are read for the tables.
        assumed: what is only assumed, in words.
        not_reckoned: what the build does beside what is counted, in words.
    """

    tracks: int
    seconds: Sequence[tuple[float, int]]
    annotations: int
    suffixes: dict[str, int]
    file_bytes: int
    probed: bool
    assumed: tuple[str, ...] = ()
    not_reckoned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Attributes:
        cpu_s: of all processes.
        read, written, shuffled: bytes.
        tasks: into how many parts the engine can divide it; 0 for what the launching process does alone.
        not_reckoned: what of it is not in the figures, in words.
    """

    stage: str
    cpu_s: float
    read: float
    written: float
    shuffled: float = 0.0
    tasks: int = 0
    not_reckoned: tuple[str, ...] = ()

    def of_files(self, some: int, every: int) -> Cost:
        """What some of the stage's files take."""
        part = some / every
        figures = {name: getattr(self, name) * part for name in ("cpu_s", "read", "written", "shuffled")}
        return replace(self, tasks=-(-self.tasks * some // every), **figures)


@dataclass(frozen=True)
class Estimate:
    """What a build takes on some workers.

    Attributes:
        workers, cores: how many, and of how many cores each; None where that is not known.
        wall_s: from the start to the end; None where the workers' cores are not known.
        worker_hours: of Dataflow's workers; 0 on another engine.
        money, currency: what they cost; None on another engine, or of machines that have no price.
        lines: what it rests on, in words.
    """

    costs: Sequence[Cost]
    workers: int
    cores: int | None
    wall_s: float | None
    worker_hours: float
    money: float | None
    currency: str
    lines: Sequence[str]

    @property
    def core_hours(self) -> float:
        """Of all stages."""
        return sum(cost.cpu_s for cost in self.costs) / 3600


def items_of(
    out: Store, source: StageEntry | None, tracks: int | None, files: Iterable[FileInfo], *, probed: bool
) -> Items:
    """Count what the tables say, and else what the files say.

    Args:
        source: what the receipt says of the source's tables, where they stand.
        tracks: as the source expects them.
        files: of the source's sound, where they are at hand.
    """
    listed = list(files)
    suffixes: dict[str, int] = {}
    for info in listed:
        suffix = PurePosixPath(info.path).suffix.lower().removeprefix(".")
        suffixes[suffix] = suffixes.get(suffix, 0) + 1
    assumed = []
    size = sum(info.bytes for info in listed)
    durations = None if source is None else _durations(out)
    if source is not None and durations is not None:
        count = len(durations)
        counted = pc.round(pc.drop_null(durations), 1).value_counts().to_pylist()
        seconds = [(row["values"], row["counts"]) for row in counted]
        unknown = count - sum(number for _, number in seconds)
        if unknown:
            assumed.append(f"{unknown:,} tracks are {USUAL_TRACK_S:g} s long")
            seconds.append((USUAL_TRACK_S, unknown))
        return Items(
            count, seconds, source.files[ANNOTATIONS.filename].rows, suffixes, size, probed, tuple(assumed)
        )
    count = len(listed) if tracks is None else tracks
    assumed.append(f"tracks are {USUAL_TRACK_S:g} s long and have {ANNOTATIONS_A_TRACK} annotations each")
    annotations = ANNOTATIONS_A_TRACK * count
    return Items(count, [(USUAL_TRACK_S, count)], annotations, suffixes, size, probed, tuple(assumed))


def _durations(out: Store) -> pa.ChunkedArray | None:
    """Seconds of each track; None of a damaged table, which a build would tell of."""
    try:
        return TRACKS.read(out, ["duration_s"]).column("duration_s")
    except DataError:
        return None


def source_cost(items: Items) -> Cost:
    """Reading the source: its files, where it reads those, and its tables."""
    found = measured()
    cpu = items.annotations * found.tables["source_cpu_s_per_annotation"]
    written = items.annotations * found.tables["bytes_per_annotation"]
    if not items.probed:
        return Cost("source", cpu, 0.0, written)
    gb = items.file_bytes / 1e9
    cpu += items.tracks * found.tracks["probe_cpu_s_per_file"] + gb * found.tracks["probe_cpu_s_per_gb"]
    written = items.tracks * found.tracks["table_bytes_per_track"]
    tasks = -(-items.tracks // FILES_PER_TASK)
    return Cost("source", cpu, items.file_bytes, written, tasks * found.element_bytes, tasks)


def tags_cost(items: Items) -> Cost:
    """Cleaning the tags, in two passes over units of tracks."""
    found = measured()
    tasks = 2 * max(1, -(-items.annotations // ROWS_PER_UNIT))
    cpu = items.annotations * found.tables["tags_cpu_s_per_annotation"]
    return Cost("tags", cpu, 0.0, 0.0, tasks * found.element_bytes, tasks)


def splits_cost(items: Items) -> Cost:
    """The search, in one process."""
    tables = measured().tables
    return Cost("splits", tables["splits_cpu_s"] + items.tracks * tables["splits_cpu_s_per_track"], 0.0, 0.0)


def videos_cost(items: Items) -> Cost:
    """Every video looked through once."""
    found = measured()
    seconds = sum(length * count for length, count in items.seconds)
    tasks = -(-items.tracks // VIDEOS_PER_TASK)
    read = seconds * found.videos["file_bytes_per_s"]
    cpu = seconds * found.videos["examine_cpu_s_per_s"]
    return Cost("videos", cpu, read, 0.0, tasks * found.element_bytes, tasks)


def feature_cost(feature: Feature, items: Items, shards: int | None) -> Cost:
    """One feature of every track."""
    found, name = measured(), f"features.{feature.name}"
    segments = feature.kept() or Segments(span_s=30)
    clips = seconds = 0.0
    for length, count in items.seconds:
        places = segments.places(length)
        clips += count * len(places)
        seconds += count * sum(part for _, part in places)
    usual_clips, usual_s = segments.usual
    written = seconds * feature.clip_bytes() / (usual_clips * usual_s)
    tasks = shards or max(1, -(-items.tracks // TRACKS_PER_SHARD))
    written += clips * found.clips["bytes_per_clip"] + tasks * found.clips["bytes_per_shard"]
    shuffled = tasks * found.element_bytes
    own, kind, told = feature.cost_name(), feature.settings.kind, _not_reckoned(feature)
    if feature.MEDIA == "video":
        slope = found.videos.get(f"{own}_cpu_s_per_s")
        if slope is None:
            slope = found.videos["clip_cpu_s_per_s"]
            told.append(f"what {name} takes by itself: {kind} was not measured, clip was taken for it")
        read = seconds * found.videos["file_bytes_per_s"]
        return Cost(name, seconds * slope, read, written, shuffled, tasks, tuple(told))
    slopes = found.features.get(own)
    if slopes is None:
        slopes = found.features["log_mel:ttmr"]
        told.append(f"what {name} takes by itself: {own} was not measured, log_mel:ttmr was taken for it")
    more, reads = _by_format(found, items.suffixes)
    cpu = items.tracks * (slopes["cpu_s_per_track"] + _around(found)) + seconds * (slopes["cpu_s_per_s"] + more)
    cpu += written / 1e9 * found.clips["cpu_s_per_gb"]
    read = items.tracks * reads["read_bytes_per_track"] + seconds * reads["read_bytes_per_s"]
    return Cost(name, cpu, min(read, items.file_bytes or read), written, shuffled, tasks, tuple(told))


def _not_reckoned(feature: Feature) -> list[str]:
    """The keys of a feature that the measured costs know nothing of."""
    name, told = f"features.{feature.name}", []
    if feature.settings.splits:
        told.append(f"that {name} is of {' and '.join(feature.settings.splits)} only: all tracks were counted")
    if getattr(feature.settings, "deform", None) is not None:
        told.append(f"{name}.deform, which takes time of its own")
    return told


def _around(found: Measured) -> float:
    """CPU seconds of a track beside its feature: a decoder's process, the messages to it, the shard."""
    slopes, seconds = found.features["log_mel:ttmr"], 10.0
    bare = slopes["cpu_s_per_track"] + seconds * slopes["cpu_s_per_s"]
    return max(0.0, found.tracks["feature_build_cpu_s_per_track"] - bare)


def _by_format(found: Measured, suffixes: dict[str, int]) -> tuple[float, dict[str, float]]:
    """CPU seconds a second beyond the format that features were measured with, and the bytes that are read."""
    known = {name: count for name, count in suffixes.items() if name in found.formats} or {REFERENCE_FORMAT: 1}
    total = sum(known.values())

    def mean(key: str) -> float:
        return sum(found.formats[name][key] * count for name, count in known.items()) / total

    more = mean("cpu_s_per_s") - found.formats[REFERENCE_FORMAT]["cpu_s_per_s"]
    return more, {key: mean(key) for key in ("read_bytes_per_track", "read_bytes_per_s")}


def estimate(costs: Sequence[Cost], items: Items, engine: Engine, prices: Prices) -> Estimate:
    """What the stages take on the engine's workers."""
    found, remote = measured(), is_dataflow(engine.runner)
    without = [*items.not_reckoned, *(words for cost in costs for words in cost.not_reckoned)]
    options = options_of_flags(engine.flags) if remote else {}
    workers = int(options.get("max_num_workers") or options.get("num_workers") or engine.workers)
    name = str(options.get("machine_type") or prices.machine_type)
    lines = [
        f"An estimate, from costs measured on {found.date} on {found.machine}.",
        *(f"Assumed: {words}." for words in items.assumed),
        *(f"Not reckoned: {words}." for words in without),
    ]
    machine = prices.machine(name) if remote else LOCAL_MACHINE
    if machine is None:
        known = suggest(name.rpartition("-")[0], prices.gb_per_vcpu)
        lines.append(
            f"No time and no money are told: --machine_type {name} is not in the file of prices{known}; "
            "add it to machine_types in --prices FILE."
        )
        return Estimate(costs, workers, None, None, 0.0, None, prices.currency, lines)
    at_once = workers * machine.cores
    wall, hours = found.tracks["fixed_cpu_s"], 0.0
    for cost in costs:
        if not cost.tasks:
            wall += cost.cpu_s
            continue
        # The last task ends alone: there is no more to divide.
        one = cost.cpu_s / cost.tasks
        took = max(cost.cpu_s / min(at_once, cost.tasks), one) if remote else cost.cpu_s / at_once
        jobs = (2 if cost.stage == "tags" else 1) if remote else 0
        wall += took + jobs * prices.start_s
        hours += jobs and workers * (took + jobs * prices.start_s) / 3600
    money = None
    if remote:
        disk = float(options.get("disk_size_gb") or prices.disk_gb)
        shuffled = sum(cost.shuffled for cost in costs) / 1e9
        money = hours * prices.hour(machine, disk) + shuffled * prices.shuffled_gb
        lines.append(
            f"Prices of {prices.date} ({prices.about}; --prices FILE gives others): {workers} workers "
            f"{name} of {machine.cores} cores, {prices.start_s:g} s until a job's workers are at work. Not in it: "
            "this process' own machine, storage and requests."
        )
    return Estimate(costs, workers, machine.cores, wall, hours, money, prices.currency, lines)
