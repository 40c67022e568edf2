"""Clips a second and core: our shard reader in random order against WebDataset, MosaicML Streaming, HF datasets
and, as the limit, a plain memory map.

The same clips (30 s of log-mel, 3000 x 128 float16) lie in our shards, in tars of .npy, in MDS, in an Arrow file
and in one .npy. Every side reads a random clip, cuts 9.92 s at a random place and copies them into a batch, in one
thread, from warm files. The sides take turns; medians are compared.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import datasets
import numpy as np

from benchmarks.peers import WORK, peers_python
from benchmarks.result import Result
from schemas.receipt import FileEntry
from schemas.shards import Clip, FeatureSpec, writing_shard
from schemas.store import Store
from train.data.order import EpochOrder
from train.data.reader import ClipReader, random_crop

CLIPS, FRAMES, CROP, BATCH = 192, 3000, 992, 64
READS, ROUNDS = 3840, 9
# Name and the ratio that is asked for.
PEERS = {
    "webdataset": ("WebDataset 1.0.2", 3.0),
    "streaming": ("MosaicML Streaming 0.13.0", 3.0),
    "datasets": (f"HF datasets {datasets.__version__}, Array2D", 3.0),
    "map": ("numpy memory map of one file (the limit)", 0.6),
}
# A batch of these takes a hundred times as long.
SLOW = {"datasets": 16}


def run() -> list[Result]:
    """One result a peer."""
    python = peers_python()
    folder = WORK / "reader"
    reader = _written(folder, python)
    command = [str(python), str(Path(__file__).with_name("reader_peers.py")), "serve", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_one_thread()
    ) as peers:
        assert peers.stdin is not None and peers.stdout is not None
        rates: dict[str, list[float]] = {"ours": [], **{peer: [] for peer in PEERS}}
        for turn in range(ROUNDS + 1):
            measured = {"ours": _crops_per_second(reader, turn)}
            for peer in PEERS:
                peers.stdin.write(f"{peer} {READS // SLOW.get(peer, 1)} {CROP}\n")
                peers.stdin.flush()
                measured[peer] = float(peers.stdout.readline())
            if turn:  # the first turn warms the files and the shuffle buffer
                for name, rate in measured.items():
                    rates[name].append(rate)
        peers.stdin.close()
    shutil.rmtree(folder)
    ours = statistics.median(rates["ours"])
    return [
        Result("shard reader, random order", title, ours, statistics.median(rates[peer]), goal, "clips/s and core")
        for peer, (title, goal) in PEERS.items()
    ]


def _one_thread() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def _written(folder: Path, python: Path) -> ClipReader:
    """Write the clips in all three formats; open ours."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    clips = rng.normal(-40, 15, (CLIPS, FRAMES, 128)).astype(np.float16)
    np.save(folder / "clips.npy", clips)
    script = str(Path(__file__).with_name("reader_peers.py"))
    subprocess.run([str(python), script, "write", str(folder)], check=True, env=_one_thread())
    store = Store(str(folder / "shards"))
    spec = FeatureSpec("ttmr", "float16", (-1, 128), {"kind": "log_mel"})
    entries = {}
    for number in range(2):
        path = f"features/ttmr/ttmr-{number:05d}-of-00002.parquet"
        with writing_shard(store, path, spec, {}) as writer:
            for row in range(number, CLIPS, 2):
                writer.append(Clip(f"{row:05d}", 0, 0.0, clips[row]))
        entries[path] = FileEntry(sha256=store.sha256(path), bytes=store.size(path) or 0, rows=CLIPS // 2)
    return ClipReader(store, entries)


def _crops_per_second(reader: ClipReader, turn: int) -> float:
    tracks = list(reader.clips.values())
    order = EpochOrder(len(tracks), BATCH, 0)
    batch = np.empty((BATCH, CROP, 128), np.float16)
    began = time.perf_counter()
    for step in range(READS // BATCH):
        epoch, within = divmod(step, order.steps)
        epoch += turn * READS
        chosen = order.share(epoch, within)
        reader.read([random_crop(tracks[item], CROP, seed=0, epoch=epoch) for item in chosen], batch)
    return READS / (time.perf_counter() - began)


if __name__ == "__main__":
    for result in run():
        print(result.row())
