"""Crops a second from an object store on loopback, each request late by 20 ms, against the same without delay.

What is late is hidden by asking ahead: several batches are in work while one is used. The store (moto) is slow by
itself, so the rates say nothing of real stores; their ratio says how much of the delay is left.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import fsspec
import numpy as np

from benchmarks.result import Result
from schemas.receipt import FileEntry
from schemas.shards import Clip, FeatureSpec, writing_shard
from schemas.store import Store
from train.data.loader import ahead
from train.data.order import EpochOrder
from train.data.reader import Array, ClipReader, random_crop

SERVER = Path(__file__).parents[1] / "tests" / "object_server.py"
CLIPS, FRAMES, CROP, BATCH = 32, 3000, 992, 16
STEPS, ROUNDS, LATE_S = 24, 3, 0.02
THREADS, DEPTH = 4, 8
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


def run() -> list[Result]:
    """One result."""
    rates: dict[float, list[float]] = {LATE_S: [], 0.0: []}
    with object_store(0.0) as prompt, object_store(LATE_S) as late:
        readers = {latency: _reader(address) for latency, address in ((0.0, prompt), (LATE_S, late))}
        for turn in range(ROUNDS + 1):
            for latency, reader in readers.items():
                rate = _crops_per_second(reader, turn)
                if turn:  # the first turn opens the connections
                    rates[latency].append(rate)
    ours, theirs = (statistics.median(rates[latency]) for latency in (LATE_S, 0.0))
    return [Result("shards in an object store, 20 ms a request", "the same without", ours, theirs, 0.9, "crops/s")]


@contextmanager
def object_store(latency_s: float) -> Iterator[str]:
    """The address of a store of its own."""
    command = [sys.executable, str(SERVER), str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _reader(address: str) -> ClipReader:
    """Write random clips there, and open them."""
    with patch.dict(os.environ, {"AWS_ENDPOINT_URL": address, **CREDENTIALS}):
        # The file system that fsspec would remember is the other store's.
        fsspec.filesystem("s3", skip_instance_cache=True)
        type(fsspec.filesystem("s3")).clear_instance_cache()
        store = Store("s3://bench/remote")
        fsspec.filesystem("s3").makedirs("bench", exist_ok=True)
        rng = np.random.default_rng(0)
        spec = FeatureSpec("ttmr", "float16", (-1, 128), {"kind": "log_mel"})
        entries = {}
        for number in range(2):
            path = f"features/ttmr/ttmr-{number:05d}-of-00002.parquet"
            with writing_shard(store, path, spec, {}) as writer:
                for row in range(number, CLIPS, 2):
                    data = rng.normal(-40, 15, (FRAMES, 128)).astype(np.float16)
                    writer.append(Clip(f"{row:05d}", 0, 0.0, data))
            entries[path] = FileEntry(sha256="0" * 64, bytes=store.size(path) or 0, rows=CLIPS // 2)
        return ClipReader(store, entries)


def _crops_per_second(reader: ClipReader, turn: int) -> float:
    tracks = list(reader.clips.values())
    order = EpochOrder(len(tracks), BATCH, 0)

    def make(step: int) -> Array:
        epoch, within = divmod(step, order.steps)
        chosen = order.share(epoch + turn * STEPS, within)
        return reader.read([random_crop(tracks[item], CROP, seed=0, epoch=epoch) for item in chosen])

    began = time.perf_counter()
    read = sum(len(batch) for batch in ahead(make, range(STEPS), threads=THREADS, depth=DEPTH))
    return read / (time.perf_counter() - began)
