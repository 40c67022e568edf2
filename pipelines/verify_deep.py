"""`tracklore verify --deep`: every tensor of every shard is read, and every track is somewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pipelines.features.stage import tracks_in
from pipelines.stage import shown
from schemas.errors import DataError, fault_of_file
from schemas.receipt import Receipt
from schemas.shards import ShardIndex, read_shard_index, shard_of
from schemas.store import Store
from schemas.tables import EXCLUSIONS, TRACKS

_LENGTH_BYTES = 4
_LATE_S = 1.0
# Stages in which a track may leave before features look for it.
_BEFORE = ("source", "videos")


@dataclass
class Held:
    """What one shard holds.

    Attributes:
        segments: the numbers of the segments of each track.
        problems: what is wrong, one line each.
    """

    segments: dict[str, list[int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def deep_problems(
    out: Store, receipt: Receipt, workers: int = 1, advance: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Read every tensor that the receipt lists.

    Checked are: the cell is as long as its frames say; floating values are finite, and within the `range` that the
    feature's specification states; a clip begins within its track; segments count from 0; a track lies once, in its
    own shard; and every track of the dataset is in a shard of the feature or among its exclusions.

    Args:
        advance: called after each shard.

    Yields:
        one line a problem.
    """
    durations = _ends(out) if TRACKS.filename in receipt.files() else None
    for name, stage in receipt.stages.items():
        if not name.startswith("features."):
            continue
        shards = sorted(path for path in stage.files if path.endswith(".parquet"))

        def one(item: tuple[int, str], count: int = len(shards)) -> Held:
            held = _shard(out, item[1], item[0], count, durations)
            advance()
            return held

        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(one, enumerate(shards)))
        for held in found:
            yield from held.problems
        if durations is not None:
            section = receipt.recipe.get("features", {}).get(name.removeprefix("features."), {})
            wanted = tracks_in(out, section["splits"]) if section.get("splits") else set(durations)
            yield from _lost(out, name, {track for held in found for track in held.segments}, wanted)


def shard_files(receipt: Receipt) -> int:
    """How many shards `deep_problems` will read."""
    named = (stage.files for name, stage in receipt.stages.items() if name.startswith("features."))
    return sum(path.endswith(".parquet") for files in named for path in files)


def _ends(out: Store) -> dict[str, float | None]:
    """The last second of each track, as far as it is known; of a clip at least where it ends in its parent."""
    columns = TRACKS.read(out, ["track_id", "duration_s", "end_s"]).to_pydict()
    ends = (
        max((end for end in known if end is not None), default=None)
        for known in zip(columns["duration_s"], columns["end_s"], strict=True)
    )
    return dict(zip(columns["track_id"], ends, strict=True))


def _shard(out: Store, path: str, number: int, count: int, durations: dict[str, float | None] | None) -> Held:
    held = Held()
    try:
        index = read_shard_index(out, path)
        with out.open(path) as stream:
            for row, track in enumerate(index.track_ids):
                held.segments.setdefault(track, []).append(int(index.segments[row]))
                held.problems.extend(f"{path}: {line}" for line in _clip(stream, index, row, durations))
    except (DataError, OSError) as error:
        held.problems.append(f"{path}: {fault_of_file(error)}" if isinstance(error, OSError) else str(error))
        return held
    for track, segments in held.segments.items():
        repeated = [str(number) for number, times in sorted(Counter(segments).items()) if times > 1]
        if repeated:
            held.problems.append(f"{path}: track {track}: segment {shown(repeated)} stands twice")
        elif sorted(segments) != list(range(len(segments))):
            held.problems.append(f"{path}: track {track}: segments {sorted(segments)} do not count from 0")
        if shard_of(track, count) != number:
            held.problems.append(f"{path}: track {track}: belongs in shard {shard_of(track, count)} of {count}")
    return held


def _clip(
    stream: BinaryIO, index: ShardIndex, row: int, durations: dict[str, float | None] | None
) -> Iterator[str]:
    spec = index.spec
    track, frames, start = index.track_ids[row], int(index.frames[row]), float(index.starts[row])
    what = f"track {track}, segment {index.segments[row]}"
    length = frames * spec.row_bytes
    stream.seek(int(index.offsets[row]) - _LENGTH_BYTES)
    raw = stream.read(_LENGTH_BYTES + length)
    stated = int.from_bytes(raw[:_LENGTH_BYTES], "little")
    if stated != length:
        yield f"{what}: {stated} bytes for {frames} frames of {spec.row_bytes}"
        return
    if not frames:
        yield f"{what}: no frame"
        return
    yield from (f"{what}: {line}" for line in _values(np.frombuffer(raw, spec.dtype, -1, _LENGTH_BYTES), spec))
    if durations is None:
        return
    if track not in durations:
        yield f"{what}: is not in {TRACKS.filename}"
    elif not 0 <= start <= (durations[track] or np.inf) + _LATE_S:
        yield f"{what}: begins at second {start:g} of {durations[track]:g}"


def _values(values: npt.NDArray[Any], spec: Any) -> Iterator[str]:
    if values.dtype.kind == "f":
        wrong = int(values.size - np.count_nonzero(np.isfinite(values)))
        if wrong:
            yield f"{wrong} of {values.size} values are not finite"
            return
    limits = spec.settings.get("range")
    if limits is None:
        return
    least, greatest = float(values.min()), float(values.max())
    if least < limits[0] or greatest > limits[1]:
        yield f"values from {least:g} to {greatest:g}, outside {limits[0]:g} to {limits[1]:g}"


def _lost(out: Store, name: str, held: set[str], wanted: set[str]) -> Iterator[str]:
    """Tracks that are neither in a shard nor excluded, or that are both."""
    table = EXCLUSIONS.read(out).to_pydict()
    rows = set(zip(table["id"], table["stage"], strict=True))
    lost = sorted(wanted - held - {track for track, stage in rows if stage in (name, *_BEFORE)})
    if lost:
        yield f"{name}: {len(lost)} tracks are in no shard and not in {EXCLUSIONS.filename}: {shown(lost)}"
    both = sorted(track for track in held if (track, name) in rows)
    if both:
        yield f"{name}: {len(both)} tracks are in a shard and in {EXCLUSIONS.filename}: {shown(both)}"
