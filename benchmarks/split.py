"""Splits: how well tags follow the ratios, beside scikit-multilearn and iterative-stratification over artists, at
the size of MTG-Jamendo and for a million tracks; these through the command and the stage, too, against 60 s and
4 GB. Seconds are the processor's. Scikit-multilearn takes two minutes for the million.

Tracks are composed from a seed; TRACKLORE_JAMENDO may name the folder of a split's published TSV files instead of
those of MTG-Jamendo's size. Then ours stand beside the official split, too, at its own ratios.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit
from skmultilearn.model_selection import IterativeStratification

from benchmarks.labelled_tracks import ECALS, MTG_JAMENDO, labelled_tracks
from benchmarks.music import WORK
from benchmarks.result import Result
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.splits.labels import Labels, labels_of, numbered
from pipelines.splits.measures import counted, label_distance, share_deviation
from pipelines.splits.stage import SplitsStage
from pipelines.splits.stratify import Items, stratified_split
from pipelines.stage import BuildContext
from schemas.manifest import Manifest
from schemas.receipt import Receipt
from schemas.store import Store
from schemas.tables import LABELS, TRACKS

RATIOS = {"train": 0.6, "valid": 0.2, "test": 0.2}
NAMES = tuple(RATIOS)
MOST_SECONDS, MOST_MB = 60.0, 4096.0
GOAL = 8.0
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
Splits = npt.NDArray[np.int64]
Peer = Callable[[npt.NDArray[np.int64]], Splits]


@dataclass(frozen=True)
class Measured:
    """A split of the tracks: how it follows the ratios, and the seconds of processor time that it took."""

    distance: float
    deviation: float
    seconds: float


def run() -> list[Result]:
    """See the module."""
    folder = WORK / "split"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    real = os.environ.get("TRACKLORE_JAMENDO")
    some = published_tracks(Path(real)) if real else labelled_tracks(MTG_JAMENDO)
    results = beside_peers("MTG-Jamendo" if real else f"{some.num_rows:,} tracks", some)
    if real:
        results += beside_official(some)
    many = labelled_tracks(ECALS)
    results += beside_peers(f"{many.num_rows:,} tracks", many)
    results += within_limits(many, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return results


def published_tracks(folder: Path) -> pa.Table:
    """Columns track_id, artist_id, tags and official (0, 1, 2 for train, valid, test) of MTG-Jamendo's top 50 tags.

    Raises:
        SystemExit: the files are not there.
    """
    rows: list[list[str]] = []
    parts: list[int] = []
    for number, part in enumerate(("train", "validation", "test")):
        path = folder / f"autotagging_top50tags-{part}.tsv"
        if not path.is_file():
            raise SystemExit(f"{path}: no such file; TRACKLORE_JAMENDO names the folder of a split's TSV files")
        lines = path.read_text("utf-8").splitlines()[1:]
        rows += [line.split("\t") for line in lines]
        parts += [number] * len(lines)
    return pa.table(
        {
            "track_id": [row[0] for row in rows],
            "artist_id": [row[1] for row in rows],
            "tags": [row[5:] for row in rows],
            "official": parts,
        }
    )


def beside_peers(what: str, tracks: pa.Table) -> list[Result]:
    """Ours beside each peer on the same artists: label distance, share deviation, time."""
    labels = labels_of(tracks.column("tags"))
    artists = numbered(tracks.column("artist_id"))
    presence = np.zeros((int(artists.max()) + 1, len(labels.names)), np.int64)
    presence[artists[labels.rows], labels.codes] = 1
    split(tracks.slice(0, 1000))  # compiled code
    ours = timed(lambda: split(tracks), labels)
    results = []
    for name, peer in (("scikit-multilearn", scikit_multilearn), ("iterative-stratification", iterstrat)):
        theirs = timed(lambda peer=peer: peer(presence)[artists], labels)  # type: ignore[misc]
        over = f"{name} over artists"
        results += [
            Result(f"{what}: label distance", over, 1 / ours.distance, 1 / theirs.distance, GOAL, "1/mean"),
            Result(f"{what}: share", over, 1 / ours.deviation, 1 / theirs.deviation, GOAL, "1/deviation"),
            # What is far better may take longer: told, with a goal that is only a floor.
            Result(f"{what}: time", over, 60 / ours.seconds, 60 / theirs.seconds, 0.01, "splits/min"),
        ]
    return results


def beside_official(tracks: pa.Table) -> list[Result]:
    """Ours beside the split that was published with the tracks, at its ratios; and by the clock."""
    labels = labels_of(tracks.column("tags"))
    official = tracks.column("official").to_numpy()
    counts, sizes = counted(labels, official, len(NAMES))
    ratios = dict(zip(NAMES, (sizes / sizes.sum()).tolist(), strict=True))
    theirs = label_distance(counts, sizes), share_deviation(counts, ratios, NAMES)[0]
    what, whom = "MTG-Jamendo at its ratios", "the official split"
    results = []
    for effort, goals in ((1, (12.0, 10.0)), (10, (25.0, 10.0))):
        started = time.perf_counter()
        splits = split(tracks, ratios, effort)
        seconds = time.perf_counter() - started
        held, numbers = counted(labels, splits, len(NAMES))
        ours = label_distance(held, numbers), share_deviation(held, ratios, NAMES)[0]
        told = what if effort == 1 else f"{what}, effort {effort}"
        results += [
            Result(f"{told}: label distance", whom, 1 / ours[0], 1 / theirs[0], goals[0], "1/mean"),
            Result(f"{told}: share", whom, 1 / ours[1], 1 / theirs[1], goals[1], "1/deviation"),
        ]
        if effort == 1:
            off = float(np.abs(numbers / numbers.sum() - np.array(list(ratios.values()))).max())
            least = float((held / (np.array(list(ratios.values()))[:, None] * held.sum(axis=0))).min())
            results += [
                Result(f"{told}: sizes", "limit of 0.2 %", 1 / max(off, 1e-9), 1 / 0.002, 1.0, "1/error"),
                Result(f"{told}: the least share of a tag", "80 % of fair", least, 0.8, 1.0, "of its fair share"),
                Result(f"{told}: time", "limit of 5 s", 60 / seconds, 60 / 5, 1.0, "splits/min"),
            ]
    return results


def timed(work: Callable[[], Splits], labels: Labels) -> Measured:
    """Measure what splits each row, int64 (rows,)."""
    started = time.process_time()
    splits = work()
    seconds = time.process_time() - started
    counts, sizes = counted(labels, splits, len(NAMES))
    return Measured(label_distance(counts, sizes), share_deviation(counts, RATIOS, NAMES)[0], seconds)


def split(tracks: pa.Table, ratios: Mapping[str, float] = RATIOS, effort: int = 1) -> Splits:
    """Ours."""
    items = Items(tracks.column("track_id"), [tracks.column("artist_id")], tracks.column("tags"))
    splits, _ = stratified_split(items, ratios, 0, effort)
    return np.array([NAMES.index(name) for name in splits], np.int64)


def scikit_multilearn(presence: npt.NDArray[np.int64]) -> Splits:
    """Artists into folds of the ratios' sizes; its sampling draws from numpy's own generator."""
    np.random.seed(0)
    folds = IterativeStratification(len(NAMES), order=1, sample_distribution_per_fold=list(RATIOS.values()))
    found = np.zeros(len(presence), np.int64)
    for fold, (_, rows) in enumerate(folds.split(np.zeros((len(presence), 1)), presence)):
        found[rows] = fold
    return found


def iterstrat(presence: npt.NDArray[np.int64]) -> Splits:
    """Two splits one after the other, for it makes two parts at a time."""
    found = np.zeros(len(presence), np.int64)
    rows = np.arange(len(presence))
    left = 1.0
    for split_number in (2, 1):
        part = list(RATIOS.values())[split_number] / left
        parts = MultilabelStratifiedShuffleSplit(1, test_size=part, train_size=1 - part, random_state=0)
        stays, leaves = next(parts.split(np.zeros(len(rows)), presence[rows]))
        found[rows[leaves]] = split_number
        rows, left = rows[stays], left * (1 - part)
    return found


def within_limits(tracks: pa.Table, folder: Path) -> list[Result]:
    """The whole process of `tracklore split`, and one that runs the stage: seconds and peak memory."""
    table, dataset = folder / "tracks.parquet", folder / "dataset"
    pq.write_table(tracks, table)
    write_dataset(tracks, dataset)
    words = ["--id", "track_id", "--group", "artist_id", "--labels", "tags"]
    words += [word for name, ratio in RATIOS.items() for word in ("--ratio", f"{name}={ratio}")]
    command = [sys.executable, "-m", "tracklore", "split", str(table), "--out", str(folder / "out.parquet"), *words]
    stage = [sys.executable, "-m", "benchmarks.split", str(dataset)]
    results = []
    for name, line in (("tracklore split", command), ("the stage", stage)):
        seconds, megabytes = usage(line)
        rows = tracks.num_rows
        told = f"{rows:,} tracks, {name}"
        results += [
            Result(told, f"limit of {MOST_SECONDS:g} s", rows / seconds, rows / MOST_SECONDS, 1.0, "tracks/s"),
            Result(told, f"limit of {MOST_MB:g} MB", rows / megabytes, rows / MOST_MB, 1.0, "tracks/MB"),
        ]
    return results


def usage(line: list[str]) -> tuple[float, float]:
    """Seconds of processor time, which other processes do not lengthen, and peak megabytes of a process."""
    # Through a small process: a child's peak is at least what its parent held when it began.
    launcher = [sys.executable, "-c", LAUNCHER, *line]
    ran = subprocess.run(launcher, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if ran.returncode:
        raise SystemExit(f"{' '.join(line)}: ended with {ran.returncode}\n{ran.stderr}")
    seconds, kilobytes = ran.stdout.split()
    return float(seconds), float(kilobytes) / 1024


def write_dataset(tracks: pa.Table, folder: Path) -> None:
    """What the stages before leave: tracks, a title for each, and labels."""
    folder.mkdir()
    store = Store(str(folder))
    rows = tracks.num_rows
    rng = np.random.default_rng(1)
    titles = np.char.add("Song ", rng.integers(0, rows, rows).astype(str))
    given: dict[str, Any] = {
        "track_id": tracks.column("track_id"),
        "artist_id": tracks.column("artist_id"),
        "recording_id": tracks.column("track_id"),
        "title": pa.array(titles),
        "duration_s": pa.array(rng.normal(240, 80, rows).clip(10).round(2)),
        "caption": tracks.column("track_id"),
        "tags": tracks.column("tags"),
    }
    for schema in (TRACKS, LABELS):
        columns = {field.name: given.get(field.name, pa.nulls(rows, field.type)) for field in schema.schema}
        schema.write(store, pa.table(columns).cast(schema.schema))


def main() -> None:
    """Run the stage in a dataset that has tracks and labels; its folder is the only word."""
    manifest = Manifest.model_validate(
        {"name": "split", "source": {"kind": "folder"}, "splits": {"ratios": RATIOS}}
    )
    receipt = Receipt(name=manifest.name, manifest=manifest.digest())
    context = BuildContext(manifest, "split", Store(sys.argv[1]), Engine(), Reporter(quiet=True), receipt)
    SplitsStage().run(context)


if __name__ == "__main__":
    main()
