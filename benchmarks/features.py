"""Features from real files: a whole build against the bare work, librosa and lhotse; its memory; resuming it."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import psutil
import soundfile
import soxr
import torch
from torchaudio.transforms import MelSpectrogram

from benchmarks.music import WORK, linked, real_music
from benchmarks.peers import peers_python
from benchmarks.result import Result
from pipelines.build import Request, build
from pipelines.engine import Engine
from pipelines.features.quiet import quiet_decoders
from pipelines.progress import Reporter
from schemas.manifest import load_manifest
from schemas.store import Store

Samples = npt.NDArray[np.float32]
RATE, SECONDS = 16_000, 30
THREADS = 2
TRACKS, TRACKS_ONE_THREAD, TRACKS_CUT, TRACKS_WHOLE = 640, 24, 96, 12
ROUNDS, ROUNDS_ONE_THREAD = 3, 3
MANY, FEW = 10_000, 1_000
SHORT_S, CLIP_S = 3.5, 3
BUDGET_BYTES = 1.5e9
RESUME_S = 5.0


def run() -> list[Result]:
    """Speed on full-length music; memory and resuming on many short cuts of it."""
    torch.set_num_threads(1)
    music = real_music()
    return [*against_bare(music), *against_one_thread(music), *against_papers(music), *many_tracks(music)]


def against_bare(music: list[Path]) -> list[Result]:
    """The build against a bare loop with as many threads."""
    many = linked(music, TRACKS, WORK / "features/many")
    few = linked(music, TRACKS_ONE_THREAD, WORK / "features/few")
    build_tracks(few, THREADS)  # imports, compiled code, the page cache
    bare(few, THREADS)
    name = f"build --only features, {THREADS} threads"
    mixes: tuple[tuple[str, Callable[[Samples], Samples], float], ...] = (
        ("the same decode, resample and mel in a bare loop", mean, 0.90),
        ("the bare loop with our way to mix channels", halved_sum, 0.75),
    )
    results = []
    for peer, mix, goal in mixes:
        ours, theirs = in_turns(
            lambda: build_tracks(many, THREADS),
            lambda: bare(many, THREADS, mix),  # noqa: B023 - called before the next turn
            ROUNDS,
        )
        results.append(Result(name, peer, TRACKS / ours, TRACKS / theirs, goal, "tracks/s"))
    return results


def against_one_thread(music: list[Path]) -> list[Result]:
    """Two threads against one."""
    tracks = linked(music, TRACKS // 2, WORK / "features/half")
    two, one = in_turns(lambda: build_tracks(tracks, THREADS), lambda: build_tracks(tracks, 1), ROUNDS)
    return [
        Result(
            f"build --only features, {THREADS} threads",
            "the same with 1 thread",
            TRACKS // 2 / two,
            TRACKS // 2 / one,
            1.8,
            "tracks/s",
        )
    ]


def against_papers(music: list[Path]) -> list[Result]:
    """One thread against what papers' repositories do, and against lhotse on whole files and on the same cuts."""
    few = linked(music, TRACKS_ONE_THREAD, WORK / "features/few")
    name = "build --only features, 1 thread"
    ours, theirs = in_turns(lambda: build_tracks(few, 1), lambda: papers(few), ROUNDS_ONE_THREAD)
    results = [
        Result(
            name,
            "librosa.load of the whole file, cut, melspectrogram",
            TRACKS_ONE_THREAD / ours,
            TRACKS_ONE_THREAD / theirs,
            3.0,
            "tracks/s",
        )
    ]
    # Of 30 s the decoder alone is half; the bare loop with our mixing would reach about 1.5 on one thread.
    for seconds, count, segments, what, goal in (
        (0, TRACKS_WHOLE, "{}", "whole files on both sides", 1.5),
        (SECONDS, TRACKS_CUT, f"{{span_s: {SECONDS}}}", f"the same {SECONDS} s on both sides", 1.2),
    ):
        tracks = linked(music, count, WORK / "features/lhotse")
        mine, other = [], []
        build_tracks(tracks, 1, "features.ttmr.segments={span_s: 3}")  # lhotse is timed warm, too
        for _ in range(ROUNDS_ONE_THREAD):
            mine.append(timed(lambda: build_tracks(tracks, 1, f"features.ttmr.segments={segments}")))  # noqa: B023
            other.append(lhotse(tracks, seconds))
        peer = f"lhotse 1.33, Fbank, {what}"
        ours, theirs = count / statistics.median(mine), count / statistics.median(other)
        results.append(Result(name, peer, ours, theirs, goal, "tracks/s"))
    return results


def lhotse(folder: Path, seconds: float) -> float:
    """Seconds that lhotse takes, warm."""
    script = Path(__file__).with_name("features_peer.py")
    words = [str(peers_python()), str(script), str(folder), str(WORK / "features/lhotse-out"), str(seconds)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1])


def many_tracks(music: list[Path]) -> list[Result]:
    """Memory of all processes of a build of few and of many tracks, and what it costs to find many finished."""
    cuts = short_cuts(music)
    peaks = {
        count: peak_bytes(linked(cuts, count, WORK / f"features/{count}"), f"out-{count}") for count in (FEW, MANY)
    }
    standing = timed(lambda: tracklore(WORK / f"features/{MANY}", f"out-{MANY}"))
    forget(WORK / f"features/out-{MANY}")
    resuming = timed(lambda: tracklore(WORK / f"features/{MANY}", f"out-{MANY}"))
    gb = 1e9
    return [
        Result(
            f"memory of {MANY:,} tracks, all processes",
            f"of {FEW:,} tracks",
            peaks[FEW] / gb,
            peaks[MANY] / gb,
            0.9,
            "GB",
        ),
        Result(
            f"memory of {MANY:,} tracks, all processes", "budget", BUDGET_BYTES / gb, peaks[MANY] / gb, 1.0, "GB"
        ),
        Result(f"a build of {MANY:,} finished tracks", "budget", RESUME_S, standing, 1.0, "s"),
        Result("the same, its receipt without the features", "budget", RESUME_S, resuming, 1.0, "s"),
    ]


def short_cuts(music: list[Path]) -> list[Path]:
    """A short cut of each file."""
    folder = WORK / "features/cuts"
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, path in enumerate(music):
        cut = folder / f"{number:03d}.ogg"
        if not cut.exists():
            with soundfile.SoundFile(str(path)) as file:
                file.seek(file.frames // 3)
                samples = file.read(round(SHORT_S * file.samplerate), always_2d=True).mean(axis=1)
                soundfile.write(cut, samples, file.samplerate)
        made.append(cut)
    return made


def words_of(folder: Path, out: str) -> list[str]:
    """The command line of a build of short clips."""
    settings = [
        f"source.path={folder}",
        "source.keep_duplicates=true",
        f"features.ttmr.segments={{span_s: {CLIP_S}}}",
    ]
    given = [word for setting in settings for word in ("--set", setting)]
    words = [
        "build",
        "folder",
        "--only",
        "features",
        "--workers",
        str(THREADS),
        "--out",
        str(WORK / "features" / out),
    ]
    return [sys.executable, "-m", "tracklore", *words, *given]


def tracklore(folder: Path, out: str) -> None:
    """A build as a user starts it."""
    subprocess.run(words_of(folder, out), check=True, capture_output=True)


def peak_bytes(folder: Path, out: str) -> int:
    """The largest sum, at any moment of a new build, of what its processes hold; shared pages count once."""
    shutil.rmtree(WORK / "features" / out, ignore_errors=True)
    started = subprocess.Popen(words_of(folder, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process, peak = psutil.Process(started.pid), 0
    while started.poll() is None:
        held = 0
        try:
            for each in (process, *process.children(recursive=True)):
                held += each.memory_full_info().pss
        except psutil.Error:  # one of them has just ended
            pass
        peak = max(peak, held)
        time.sleep(0.25)
    if started.returncode:
        raise SystemExit(f"{folder}: the build failed")
    return peak


def forget(out: Path) -> None:
    """Take the features out of a receipt, as a build that is killed before it commits them leaves it."""
    receipt = json.loads((out / "receipt.json").read_text())
    del receipt["stages"]["features.ttmr"]
    (out / "receipt.json").write_text(json.dumps(receipt))


def timed(work: Callable[[], None]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of each, run alternately."""
    taken = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(side) for side in zip(*taken, strict=True))
    return mine, other


def build_tracks(folder: Path, threads: int, *more: str) -> None:
    """`tracklore build folder --only features` into a new directory, probing included."""
    out = WORK / "features/out"
    shutil.rmtree(out, ignore_errors=True)
    # The same file under several names is wanted here.
    settings = [f"source.path={folder}", "source.keep_duplicates=true", *more]
    manifest, where, _ = load_manifest("folder", settings)
    request = Request(manifest, where, None, Store(str(out)), Engine(workers=threads), ("features",), check=True)
    build(request, Reporter(quiet=True))


def mean(samples: Samples) -> Samples:
    """As papers' code mixes."""
    mono: Samples = samples.mean(axis=1)
    return mono


def halved_sum(samples: Samples) -> Samples:
    """The mean of two channels, ten times as fast."""
    mono: Samples = samples[:, 0] + samples[:, -1]
    mono *= np.float32(0.5)
    return mono


def bare(folder: Path, threads: int, mix: Callable[[Samples], Samples] = mean) -> None:
    """Decode 30 s of the middle, resample, log-mel; nothing is written."""
    transform = MelSpectrogram(RATE, n_fft=1024, hop_length=160, n_mels=128)

    def one(path: Path) -> int:
        with soundfile.SoundFile(str(path)) as file:
            wanted = min(file.frames, SECONDS * file.samplerate)
            file.seek((file.frames - wanted) // 2)
            samples = mix(file.read(wanted, dtype="float32", always_2d=True))
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
