"""Features from real files: a whole build against the bare work, and one thread against what papers' code does."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
from torchaudio.transforms import MelSpectrogram

from benchmarks.music import WORK, linked, real_music
from benchmarks.result import Result
from pipelines.build import Request, build
from pipelines.engine import Engine
from pipelines.features.quiet import quiet_decoders
from pipelines.progress import Reporter
from schemas.manifest import load_manifest
from schemas.store import Store

RATE, SECONDS = 16_000, 30
THREADS = 2
TRACKS, TRACKS_ONE_THREAD = 640, 24
ROUNDS, ROUNDS_ONE_THREAD = 3, 3


def run() -> list[Result]:
    """The build against a bare loop with as many threads, and one thread against librosa on whole files."""
    torch.set_num_threads(1)
    music = real_music()
    many = linked(music, TRACKS, WORK / "features/many")
    few = linked(music, TRACKS_ONE_THREAD, WORK / "features/few")
    build_tracks(few, THREADS)  # imports, compiled code, the page cache
    bare(few, THREADS)
    ours, theirs = in_turns(lambda: build_tracks(many, THREADS), lambda: bare(many, THREADS), ROUNDS)
    bare_loop = Result(
        f"build --only features, {THREADS} threads",
        "the same decode, resample and mel in a bare loop",
        TRACKS / ours,
        TRACKS / theirs,
        0.85,
        "tracks/s",
    )
    ours, theirs = in_turns(lambda: build_tracks(few, 1), lambda: papers(few), ROUNDS_ONE_THREAD)
    whole_files = Result(
        "build --only features, 1 thread",
        "librosa.load of the whole file, cut, melspectrogram",
        TRACKS_ONE_THREAD / ours,
        TRACKS_ONE_THREAD / theirs,
        3.0,
        "tracks/s",
    )
    return [bare_loop, whole_files]


def in_turns(ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of each, run alternately."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, work in zip(taken, (ours, theirs), strict=True):
            started = time.perf_counter()
            work()
            side.append(time.perf_counter() - started)
    return statistics.median(taken[0]), statistics.median(taken[1])


def build_tracks(folder: Path, threads: int) -> None:
    """`tracklore build folder --only features` into a new directory, probing included."""
    out = WORK / "features/out"
    shutil.rmtree(out, ignore_errors=True)
    # The same file under several names is wanted here.
    settings = [f"source.path={folder}", "source.keep_duplicates=true"]
    manifest, where, _ = load_manifest("folder", settings)
    request = Request(manifest, where, None, Store(str(out)), Engine(workers=threads), ("features",), check=True)
    build(request, Reporter(quiet=True))


def bare(folder: Path, threads: int) -> None:
    """Decode 30 s of the middle, resample, log-mel; nothing is written."""
    transform = MelSpectrogram(RATE, n_fft=1024, hop_length=160, n_mels=128)

    def one(path: Path) -> int:
        with soundfile.SoundFile(str(path)) as file:
            wanted = min(file.frames, SECONDS * file.samplerate)
            file.seek((file.frames - wanted) // 2)
            samples = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
            mono = soxr.resample(samples, file.samplerate, RATE, quality="HQ")
        with torch.inference_mode():
            mel = 10 * transform(torch.from_numpy(np.ascontiguousarray(mono))).clamp(min=1e-10).log10()
            return int(mel.T.contiguous().half().numpy().nbytes)

    with quiet_decoders(), ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(one, sorted(folder.iterdir())))


def papers(folder: Path) -> None:
    """What the repositories of papers do: load everything, then cut."""
    for path in sorted(folder.iterdir()):
        samples, _ = librosa.load(path, sr=RATE)
        start = max(0, (len(samples) - SECONDS * RATE) // 2)
        cut = samples[start : start + SECONDS * RATE]
        mel = librosa.feature.melspectrogram(y=cut, sr=RATE, n_fft=1024, hop_length=160, n_mels=128)
        assert librosa.power_to_db(mel).astype(np.float16).size
