"""What the stages of a plan will take: CPU, bytes, time on so many workers, and money on Dataflow.

Tracks are taken to be as those that were measured: what no table says yet is assumed, and the assumptions are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow.compute as pc

from pipelines.costs.measured import REFERENCE_FORMAT, Measured, measured
from pipelines.costs.prices import Prices
from pipelines.dataflow import is_dataflow, options_of_flags
from pipelines.engine import Engine
from pipelines.features.base import Feature
from pipelines.features.segments import Segments
from schemas.receipt import Receipt
from schemas.shards import TRACKS_PER_SHARD
from schemas.store import FileInfo, Store
from schemas.tables import ANNOTATIONS, TRACKS

USUAL_TRACK_S = 240.0
ANNOTATIONS_A_TRACK = 10
FILES_PER_TASK, ROWS_PER_UNIT, VIDEOS_PER_TASK = 256, 1 << 20, 8
LOCAL_MACHINE = (1, 0.0)


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
    """

    tracks: int
    seconds: Sequence[tuple[float, int]]
    annotations: int
    suffixes: dict[str, int]
    file_bytes: int
    probed: bool
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Attributes:
        cpu_s: of all processes.
        read, written, shuffled: bytes.
        tasks: into how many parts the engine can divide it; 0 for what the launching process does alone.
    """

    stage: str
    cpu_s: float
    read: float
    written: float
    shuffled: float = 0.0
    tasks: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a build takes on some workers.

    Attributes:
        workers, cores: how many, and of how many cores each.
        wall_s: from the start to the end.
        worker_hours: of Dataflow's workers; 0 on another engine.
        money, currency: what they cost; None on another engine.
        lines: what it rests on, in words.
    """

    costs: Sequence[Cost]
    workers: int
    cores: int
    wall_s: float
    worker_hours: float
    money: float | None
    currency: str
    lines: Sequence[str]

    @property
    def core_hours(self) -> float:
        """Of all stages."""
        return sum(cost.cpu_s for cost in self.costs) / 3600


def items_of(out: Store, receipt: Receipt, tracks: int | None, files: Iterable[FileInfo], *, probed: bool) -> Items:
    """Count what the tables say, and else what the files say.

    Args:
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
    source = receipt.stages.get("source")
    if source is not None and out.exists(TRACKS.filename):
        durations = TRACKS.read(out, ["duration_s"]).column("duration_s")
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
    if feature.MEDIA == "video":
        cpu = seconds * found.videos["clip_cpu_s_per_s"]
        return Cost(name, cpu, seconds * found.videos["file_bytes_per_s"], written, shuffled, tasks)
    slopes = found.features.get(feature.cost_name()) or found.features["log_mel:ttmr"]
    more, reads = _by_format(found, items.suffixes)
    cpu = items.tracks * (slopes["cpu_s_per_track"] + _around(found)) + seconds * (slopes["cpu_s_per_s"] + more)
    cpu += written / 1e9 * found.clips["cpu_s_per_gb"]
    read = items.tracks * reads["read_bytes_per_track"] + seconds * reads["read_bytes_per_s"]
    return Cost(name, cpu, min(read, items.file_bytes or read), written, shuffled, tasks)


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
    """What the stages take on the engine's workers.

    Raises:
        UsageError: a machine type that the prices do not know.
    """
    found = measured()
    remote = is_dataflow(engine.runner)
    options = options_of_flags(engine.flags) if remote else {}
    workers = int(options.get("max_num_workers") or options.get("num_workers") or engine.workers)
    machine = str(options.get("machine_type") or prices.machine_type)
    cores, memory_gb = prices.machine(machine) if remote else LOCAL_MACHINE
    at_once = workers * cores
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
    lines = [
        f"An estimate, from costs measured on {found.date} on {found.machine}.",
        *(f"Assumed: {words}." for words in items.assumed),
    ]
    money = None
    if remote:
        disk = float(options.get("disk_size_gb") or prices.disk_gb)
        shuffled = sum(cost.shuffled for cost in costs) / 1e9
        money = hours * prices.hour(cores, memory_gb, disk) + shuffled * prices.shuffled_gb
        lines.append(
            f"Prices of {prices.date} ({prices.about}; --prices FILE gives others): {workers} workers "
            f"{machine} of {cores} cores, {prices.start_s:g} s until a job's workers are at work. Not in it: this "
            "process' own machine, storage and requests."
        )
    return Estimate(costs, workers, cores, wall, hours, money, prices.currency, lines)
