"""Tags and splits at the size of the Million Song Dataset: two builds against the script that people write.

Both sides read the same files, composed by `benchmarks.million_song` (8.6 million annotations, a million tracks),
and make MSD500 and CALS' top 50 with 70/15/15 splits that share no artist, each side in processes of its own. The
script (`benchmarks.tags_peer`) reads and cleans once for both. Our two builds are two commands; the first finds an
empty cache, the second what the first has left there. They also write the funnel, the exclusions, the audit, the
report and the card.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.million_song import WORK, Shape, million_song, tag_base
from benchmarks.result import Result

ROOT = Path(__file__).resolve().parents[1]
CACHE = WORK / "cache"
MOST_BYTES = 3e9
MOST_TIMES = 2.2
ROUNDS = 3
PEER = "a pandas script of the same steps"
# Files that `cals` wants for the sound, and MSD500's cleaned tags, would have to be invented whole: this is the
# recipe on Last.fm's tags as typed, as its comment shows it, on all tracks.
CALS = (
    "source.labels=[lastfm]", "source.split=null", "source.tracks=all", "source.listening=true",
    "tags.rules=msd500", "tags.max_tags_per_track=20", "tags.min_tracks=100", "tags.drop_artist_names=true",
)  # fmt: skip
RECIPES: dict[str, tuple[str, ...]] = {"msd500": (), "cals": CALS}


@dataclass(frozen=True)
class Run:
    """What a process took.

    Attributes:
        seconds, processor: of the clock, and of all cores together.
        peak: the most bytes of memory at one moment, with all its children.
    """

    seconds: float
    processor: float
    peak: int

    def __add__(self, after: Run) -> Run:
        return Run(self.seconds + after.seconds, self.processor + after.processor, max(self.peak, after.peak))


def run() -> list[Result]:
    """Speed against the script, memory against its limit, and the whole size against the half: each side in turn,
    over and over, since a machine that others share swings by more than the two differ."""
    small, half, whole = (million_song(share) for share in (0.01, 0.5, 1.0))
    ours_out, theirs_out = WORK / "tags/ours", WORK / "tags/theirs"
    script(small, theirs_out)  # bytecode, compiled code
    builds(small, ours_out)
    took: dict[str, list[Run]] = {}
    for _ in range(ROUNDS):
        half_runs = builds(half, ours_out)
        theirs = script(whole, theirs_out)
        runs = builds(whole, ours_out)
        found = {"script": theirs, **runs, "both builds": sum_of(runs), "both, half the size": sum_of(half_runs)}
        show(found)
        for name, run in found.items():
            took.setdefault(name, []).append(run)
    compare(ours_out, theirs_out)
    for made in (WORK / "tags", CACHE):
        shutil.rmtree(made)
    ours, theirs, ours_half = (median(took[name]) for name in ("both builds", "script", "both, half the size"))
    rows, half_rows = Shape(1.0).rows, Shape(0.5).rows
    peaks = max(run.peak for run in took["both builds"])
    name = f"build of MSD500 and CALS, {tag_base()}"
    return [
        Result(name, PEER, rows / ours.seconds, rows / theirs.seconds, 1.0, "annotations/s"),
        Result(
            "the same, for its peak of memory",
            f"limit of {MOST_BYTES / 1e9:g} GB",
            rows / peaks * 1e6,
            rows / MOST_BYTES * 1e6,
            1.0,
            "annotations/MB",
        ),
        Result(
            "the same, at twice the size",
            "itself at the half",
            rows / ours.seconds,
            half_rows / ours_half.seconds,
            2 / MOST_TIMES,
            "annotations/s",
        ),
    ]


def median(runs: Sequence[Run]) -> Run:
    """The seconds, the processor's time and the peak in the middle, each by itself."""
    return Run(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.processor for run in runs),
        round(statistics.median(run.peak for run in runs)),
    )


def builds(folder: Path, out: Path) -> dict[str, Run]:
    """Each recipe built anew, one after the other from an empty cache; its dataset below `out`."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(CACHE, ignore_errors=True)
    taken = {}
    for name, settings in RECIPES.items():
        changed = [argument for setting in settings for argument in ("--set", setting)]
        command = ["-m", "tracklore", "build", name, "--out", str(out / name), "--only", "tags,splits"]
        taken[name] = measured([*command, "--set", f"source.path={folder}", *changed])
    return taken


def script(folder: Path, out: Path) -> Run:
    """The script's run."""
    shutil.rmtree(out, ignore_errors=True)
    return measured(["-m", "benchmarks.tags_peer", str(folder), str(out)])


def sum_of(runs: dict[str, Run]) -> Run:
    """One run after the other."""
    return sum(runs.values(), Run(0.0, 0.0, 0))


def measured(arguments: list[str]) -> Run:
    """Run this Python with `arguments`; both sides may keep their bytecode."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(WORK / "bytecode"),
        "TRACKLORE_CACHE": str(CACHE),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started, peak = time.perf_counter(), 0
    with (WORK / "tags.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
        while True:
            peak = max(peak, _resident(process.pid))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(0.02)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: exit {process.returncode}\n{(WORK / 'tags.log').read_text()}")
    # What one process peaked at between two looks, the system knows.
    return Run(seconds, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * 1024))


def _resident(pid: int) -> int:
    """Bytes in memory of a process and those that it started."""
    total = 0
    try:
        family = psutil.Process(pid)
        for process in (family, *family.children(recursive=True)):
            total += int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        pass
    return total


def show(runs: dict[str, Run]) -> None:
    """Print what each took."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "seconds", "of processor", "peak MB"):
        table.add_column(column, justify="right" if column else "left")
    for name, run in runs.items():
        table.add_row(name, f"{run.seconds:.1f}", f"{run.processor:.1f}", f"{run.peak / 1e6:,.0f}")
    Console().print(table)


def compare(ours: Path, theirs: Path) -> None:
    """Print what both sides made of the same files. They differ in the words: the script drops what has one of nine
    words and joins case, signs and plural; the rules file knows hundreds of words, synonyms and misspellings."""
    table = Table(box=None, pad_edge=False)
    for column in ("made", "tracks with a tag", "tags", "labels", "train", "valid", "test"):
        table.add_column(column, justify="left" if column == "made" else "right")
    names: dict[str, set[str]] = {}
    for recipe in RECIPES:
        labels = pq.read_table(ours / recipe / "labels.parquet", columns=["track_id", "tags"])
        splits = pq.read_table(ours / recipe / "splits.parquet", filters=[("scheme", "=", "default")])
        made = {f"{recipe}, ours": (labels.column("tags"), splits.column("split"))}
        scripted = pq.read_table(theirs / f"{recipe}.parquet", columns=["tags", "split"])
        made[f"{recipe}, script"] = (scripted.column("tags"), scripted.column("split"))
        for name, (tags, split) in made.items():
            lengths = pc.fill_null(pc.list_value_length(tags), 0)
            names[name] = set(pc.unique(pc.list_flatten(tags)).to_pylist())
            tracks, count = pc.sum(pc.greater(lengths, 0)).as_py(), pc.sum(lengths).as_py()
            sizes = [pc.sum(pc.equal(split, part)).as_py() for part in ("train", "valid", "test")]
            table.add_row(name, *(f"{number:,}" for number in (tracks, len(names[name]), count, *sizes)))
    console = Console()
    console.print(table)
    for recipe in RECIPES:
        shared = len(names[f"{recipe}, ours"] & names[f"{recipe}, script"])
        console.print(f"{recipe}: {shared} tags have the same name on both sides")
