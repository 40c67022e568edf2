"""The places of a build that hold every track at once, at a million tracks and at ten: seconds and peak memory.

    python -m benchmarks.scale [TRACKS[,TRACKS…] [STEP…]]

A million tracks and every step but recordings when nothing is named; `docs/scale.md` has the sizes and the steps.
recordings is of fingerprints that are written first: 3.3 GB for a million tracks, and minutes for either.

Each runs in a process of its own, which may reserve `MOST_GB` of addresses and tells what memory it took.
Tables are composed from a seed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.labelled_tracks import Shape, labelled_tracks
from benchmarks.music import WORK
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.sources.base import SourceContext
from pipelines.sources.folder import Folder, FolderSettings
from pipelines.sources.inventory import probe_files, probe_tasks
from pipelines.sources.probe import Probe
from pipelines.sources.probes import files_table
from pipelines.sources.stage import SourceStage
from pipelines.stage import BuildContext
from schemas.digests import canonical_json
from schemas.manifest import Manifest
from schemas.receipt import FileEntry, Receipt, StageEntry, read_receipt
from schemas.shards import TRACKS_PER_SHARD, Clip, FeatureSpec, shard_count, shard_path, writing_shard
from schemas.store import FileInfo, Store
from schemas.tables import LABELS, TRACKS

MOST_GB = 20
FINGERPRINT = "fp"
FRAMES = 638  # of 60 s
RATIOS = {"train": 0.7, "valid": 0.15, "test": 0.15}


def context_of(out: Store) -> BuildContext:
    """A build of a manifest with one feature."""
    manifest = Manifest.model_validate(
        {
            "name": "scale",
            "source": {"kind": "folder"},
            "splits": {"ratios": RATIOS},
            "features": {"ttmr": {"kind": "log_mel", "preset": "ttmr"}},
            "pairs": None,
        }
    )
    receipt = Receipt(name=manifest.name, manifest=manifest.digest())
    return BuildContext(manifest, "scale", out, Engine(), Reporter(quiet=True), receipt)


def tables(out: Store, tracks: int, *, labelled: bool) -> None:
    """Write tracks.parquet of so many tracks, and labels.parquet if it is wanted."""
    if labelled:
        found = labelled_tracks(Shape(tracks, tracks // 20, 1_054, 7.0, 14))
    else:
        names = pa.array([f"track_{number:08d}" for number in range(tracks)])
        artists = pa.array([f"artist_{number // 20:07d}" for number in range(tracks)])
        found = pa.table({"track_id": names, "artist_id": artists})
    ids = found.column("track_id")
    digests = pa.array(
        [f"{number:064x}" for number in np.random.default_rng(0).integers(0, 1 << 62, tracks).tolist()]
    )
    known: dict[str, Any] = {
        "track_id": ids,
        "artist_id": found.column("artist_id"),
        "artist_name": found.column("artist_id"),
        "duration_s": pa.array(np.full(tracks, 240.0)),
        "audio_uri": pa.array([f"music/{each}.mp3" for each in ids.to_pylist()]),
        "audio_sha256": digests,
        "recording_id": ids,
    }
    absent = [field for field in TRACKS.schema if field.name not in known]
    columns = {**known, **{field.name: pa.nulls(tracks, field.type) for field in absent}}
    TRACKS.write(out, TRACKS.conform(pa.table(columns)))
    if not labelled:
        return
    labels: dict[str, Any] = {"track_id": ids, "tags": found.column("tags")}
    left = [field for field in LABELS.schema if field.name not in labels]
    LABELS.write(out, LABELS.conform(pa.table({**labels, **{f.name: pa.nulls(tracks, f.type) for f in left}})))


def split(out: Store) -> None:
    """The splits stage: groups, the search, its bounds, the table."""
    from pipelines.splits.stage import SplitsStage

    SplitsStage().run(context_of(out))


def plan_shards(out: Store) -> None:
    """The features stage until its tasks are handed to the engine."""
    from pipelines.features.base import feature_of
    from pipelines.features.media import SourceMedia
    from pipelines.features.stage import FeatureStage

    class Whole:
        """A source whose files are its tracks."""

        def files_are_clips(self) -> bool:
            return True

    context = context_of(out)
    media = SourceMedia(Whole())  # type: ignore[arg-type]
    stage = FeatureStage(feature_of("ttmr", context.manifest.features["ttmr"], "scale"), media)
    refs, _ = media.refs(out, "audio")
    stage._tasks(context, refs, shard_count(len(refs)))


def fingerprints(out: Store, tracks: int) -> None:
    """Write the shards of a fingerprint of 60 s of every track; one in fifty is another one's, coded anew.

    Most bits keep their value from frame to frame and fewer than half are set, so that tracks have far more hashes
    in common than of even bits, and few in a row.
    """
    draws = np.random.default_rng(0)

    def words(*shape: int) -> npt.NDArray[np.uint32]:
        return draws.integers(0, 1 << 32, shape, np.uint32)

    spec = FeatureSpec(FINGERPRINT, "uint32", (-1,), {"kind": "fingerprint"})
    count = shard_count(tracks)
    names = TRACKS.read(out, ["track_id"]).column("track_id")
    for number in range(count):
        ids = names.slice(number * TRACKS_PER_SHARD, TRACKS_PER_SHARD).to_pylist()
        shape = (FRAMES, len(ids))
        prints = words(*shape) & (words(*shape) | words(*shape))  # three bits of eight
        changed = words(*shape) & words(*shape) & words(*shape)  # one of eight
        for frame in range(1, FRAMES):
            prints[frame] ^= (prints[frame] ^ prints[frame - 1]) & ~changed[frame]
        for copied in range(0, len(ids) - 1, 50):
            prints[:, copied + 1] = prints[:, copied] ^ np.bitwise_and.reduce(words(4, FRAMES))  # one of sixteen
        with writing_shard(out, shard_path(FINGERPRINT, number, count), spec, {}) as shard:
            for place, name in enumerate(ids):
                shard.append(Clip(name, 0, 90.0, prints[:, place]))


def recordings(out: Store) -> None:
    """The recordings stage: fingerprints of every track matched."""
    from pipelines.features.fingerprint import FingerprintSettings
    from pipelines.recordings.stage import RecordingsStage

    context = context_of(out)
    files = {
        info.path: FileEntry(sha256="0" * 64, bytes=1, rows=160) for info in out.list(f"features/{FINGERPRINT}")
    }
    stages = {f"features.{FINGERPRINT}": StageEntry(version=1, digest="0" * 64, files=files)}
    given = replace(context, receipt=context.receipt.model_copy(update={"stages": stages}))
    settings = FingerprintSettings(kind="fingerprint")
    RecordingsStage(FINGERPRINT, settings).run(given)


def files_of(out: Store) -> pa.Table:
    """What a folder of the tracks would list."""
    count = TRACKS.read(out, ["track_id"]).num_rows
    listed = [
        FileInfo(
            f"Artist {number // 20:07d}/An Album/{number % 20:02d} Track {number:08d}.mp3", 7_600_000, f"{number}"
        )
        for number in range(count)
    ]
    return files_table(listed)


def source_context(out: Store, **keys: Any) -> SourceContext:
    """Of a dataset beside the tables."""
    context = context_of(Store(f"{out.root}/source"))
    return SourceContext(context.out, None, context.engine, context.reporter, **keys)


def looks(out: Store) -> None:
    """Write what workers that look at a folder's files would leave; nobody's launching process does that."""
    tasks = probe_tasks(out, files_of(out))
    results = Store(f"{out.root}/source/{tasks.folder}")
    number = 0
    for task in tasks.tasks:
        probes = []
        for path in task.spec["paths"]:
            artist, _, title = path.removesuffix(".mp3").split("/")
            sha256, sound = f"{number:064x}", f"{number + (1 << 200):064x}"
            year, genres = 2000 + number % 20, ("Electronic", "Ambient")
            found = Probe(sha256, sound, 240.0, artist, "An Album", title, year, genres, "MP3")
            probes.append([path, found.as_json()])
            number += 1
        results.write_text(f"{task.id}.json", canonical_json({"probes": probes, "digest": task.digest}))


def first_look(out: Store) -> None:
    """The folder source's tasks, what workers found gathered, and remembered."""
    probe_files(source_context(out, trust_stamps=False), out, files_of(out))


def source(out: Store) -> None:
    """The folder source on what `first_look` remembered: digests, rows, tables."""
    folder = Folder(FolderSettings(kind="folder", path=out.root), source_context(out))
    folder._listed = files_of(out), []
    stage = SourceStage(folder)
    context = context_of(Store(f"{out.root}/source"))
    stage.settings(context)
    stage.run(context)


def receipt(out: Store) -> None:
    """The receipt with a file for each shard: written and read."""
    count = shard_count(TRACKS.read(out, ["track_id"]).num_rows)
    files = {
        shard_path("ttmr", number, count): FileEntry(sha256="0" * 64, bytes=1, rows=160) for number in range(count)
    }
    stages = {"features.ttmr": StageEntry(version=1, digest="0" * 64, files=files)}
    context_of(out).receipt.model_copy(update={"stages": stages}).write(out)
    assert read_receipt(out) is not None


STEPS = {
    "split": split,
    "plan_shards": plan_shards,
    "receipt": receipt,
    "looks": looks,
    "first_look": first_look,  # at what the one before it left
    "source": source,
    "recordings": recordings,
}
USUAL_STEPS = [name for name in STEPS if name != "recordings"]
USUAL_TRACKS = "1000000"
USAGE = f"usage: python -m benchmarks.scale [TRACKS[,TRACKS…] [STEP…]], STEP of {', '.join(STEPS)}"


def main(words: list[str]) -> int:
    """Make the tables and measure every step, or run one here."""
    sizes, *steps = words or [USUAL_TRACKS]
    if sizes in STEPS and len(steps) == 1:
        os.environ["TRACKLORE_CACHE"] = f"{steps[0]}/cache"
        resource.setrlimit(resource.RLIMIT_AS, (MOST_GB << 30, MOST_GB << 30))
        before, started = time.process_time(), time.monotonic()
        STEPS[sizes](Store(steps[0]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"cpu_s": time.process_time() - before, "s": time.monotonic() - started, "gb": peak}))
        return 0
    counts = sizes.split(",")
    if not set(steps) <= set(STEPS) or not all(count.isdecimal() and int(count) for count in counts):
        print(USAGE, file=sys.stderr)
        return 2
    for tracks in map(int, counts):
        folder = WORK / f"scale/{tracks}"
        labelled = "split" in (steps or USUAL_STEPS)
        if not (folder / (LABELS if labelled else TRACKS).filename).exists():
            tables(Store(str(folder)), tracks, labelled=labelled)
        if "recordings" in steps and not (folder / "features" / FINGERPRINT).exists():
            fingerprints(Store(str(folder)), tracks)
        for name in steps or USUAL_STEPS:
            command = [sys.executable, "-m", "benchmarks.scale", name, str(folder)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            told = ran.stdout.strip() or ran.stderr.strip().splitlines()[-1]
            print(f"{tracks:,} tracks, {name}: {told}", flush=True)
            for left in Path(folder).glob("splits.parquet"):
                left.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
