"""The peers' side of `benchmarks.reader`, run by the peers' own interpreter; imports nothing of Tracklore.

`write FOLDER` writes the clips of FOLDER/clips.npy as WebDataset tars, as MDS and as a dataset of HF datasets.
`serve FOLDER` answers lines of `PEER READS FRAMES` on standard input with crops a second on standard output.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import streaming
import webdataset

BATCH = 64
CLIPS_A_TAR = 48


def write(folder: Path) -> None:
    """Write the formats."""
    clips = np.load(folder / "clips.npy", mmap_mode="r")
    shutil.rmtree(folder / "mds", ignore_errors=True)
    (folder / "tar").mkdir(exist_ok=True)
    frames, bands = clips.shape[1:]
    with webdataset.ShardWriter(str(folder / "tar" / "%03d.tar"), maxcount=CLIPS_A_TAR, verbose=0) as tar:
        for number, clip in enumerate(clips):
            tar.write({"__key__": f"{number:05d}", "npy": np.asarray(clip)})
    columns = {"number": "int", "mel": f"ndarray:float16:{frames},{bands}"}
    with streaming.MDSWriter(out=str(folder / "mds"), columns=columns) as mds:
        for number, clip in enumerate(clips):
            mds.write({"number": number, "mel": np.asarray(clip)})
    features = datasets.Features({"mel": datasets.Array2D((frames, bands), "float16")})
    rows = datasets.Dataset.from_generator(
        lambda: ({"mel": clip} for clip in clips), features=features, cache_dir=str(folder / "cache")
    )
    rows.save_to_disk(str(folder / "hf"))


def from_tars(folder: Path) -> Iterator[Any]:
    """Clips without end: tars in random order, a buffer of 48 clips shuffled, each .npy decoded."""
    tars = sorted(str(path) for path in (folder / "tar").glob("*.tar"))
    samples = webdataset.WebDataset(tars, shardshuffle=len(tars)).repeat().shuffle(CLIPS_A_TAR).decode()
    return (sample["npy"] for sample in samples)


def from_rows(dataset: Any, rng: np.random.Generator) -> Iterator[Any]:
    """Clips without end, a permutation an epoch, each by its index as a numpy array."""
    while True:
        for number in rng.permutation(len(dataset)):
            yield dataset[int(number)]["mel"]


def from_map(clips: Any, rng: np.random.Generator) -> Iterator[Any]:
    """Clips without end, a permutation an epoch, each a view of one memory map: nothing can be cheaper."""
    while True:
        for number in rng.permutation(len(clips)):
            yield clips[int(number)]


def crops_per_second(clips: Iterator[Any], reads: int, frames: int, rng: np.random.Generator) -> float:
    """Copy a random crop of each clip into batches."""
    batch = np.empty((BATCH, frames, 128), np.float16)
    began = time.perf_counter()
    for number, clip in enumerate(itertools.islice(clips, reads)):
        start = int(rng.integers(0, len(clip) - frames + 1))
        batch[number % BATCH] = clip[start : start + frames]
    return reads / (time.perf_counter() - began)


def serve(folder: Path) -> None:
    """Answer until the input ends."""
    rng = np.random.default_rng(0)
    streaming.base.util.clean_stale_shared_memory()
    mds = streaming.StreamingDataset(local=str(folder / "mds"), shuffle=False, batch_size=1)
    rows = datasets.load_from_disk(str(folder / "hf")).with_format("numpy")
    sources = {
        "webdataset": from_tars(folder),
        "streaming": from_rows(mds, rng),
        "datasets": from_rows(rows, rng),
        "map": from_map(np.load(folder / "clips.npy", mmap_mode="r"), rng),
    }
    for line in sys.stdin:
        peer, reads, frames = line.split()
        print(crops_per_second(sources[peer], int(reads), int(frames), rng), flush=True)


if __name__ == "__main__":
    {"write": write, "serve": serve}[sys.argv[1]](Path(sys.argv[2]))
