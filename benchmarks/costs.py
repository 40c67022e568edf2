"""What an item of each stage costs, in CPU seconds and bytes: writes what `tracklore build --dry-run` reads.

    python -m benchmarks.costs

Costs are slopes: each work is done at two sizes, and what is the same in both is counted a track or a build. CPU
seconds are those of the processes, so that what else the machine does counts little. Sound is real music
(`benchmarks/music.py`), also as other formats; tables are `benchmarks/million_song.py`'s; videos are generated.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import resource
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from benchmarks.million_song import million_song
from benchmarks.music import WORK, linked, real_music
from pipelines.build import Request, build
from pipelines.costs.measured import MEASURED_FILE, PLAIN
from pipelines.engine import Engine
from pipelines.features.base import feature_of
from pipelines.features.media import MediaRef
from pipelines.features.presets import PRESETS
from pipelines.features.quiet import quiet_decoders
from pipelines.progress import Reporter
from pipelines.sources.probe import probe
from schemas.manifest import FeatureSection, VideosSection, load_manifest
from schemas.receipt import require_receipt
from schemas.shards import Clip, writing_shard
from schemas.store import Store

FILES = 12
SHORT_S, LONG_S = 10.0, 70.0
FEW_TRACKS, MANY_TRACKS = 40, 400
SMALL, LARGE = 0.01, 0.5
VIDEO_S, FPS, SIZE = 120.0, 25, (640, 360)
SHORT_VIDEO_S, LONG_VIDEO_S = 5, 20
TABLES = ("source", "tags", "splits")
FORMATS = {"ogg": "OGG", "flac": "FLAC", "wav": "WAV", "mp3": "MP3", "m4a": ""}


def main() -> int:
    """Measure all and write it down."""
    import torch

    torch.set_num_threads(1)
    music = cuts(real_music())
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "formats": formats(music),
        "features": features(music["ogg"]),
        "videos": videos(),
        "clips": shards(),
        "tracks": tracks(music["ogg"]),
        "tables": tables(),
        "element_bytes": element_bytes(),
    }
    MEASURED_FILE.write_text(json.dumps(rounded(found), indent=2) + "\n", "utf-8")
    print(MEASURED_FILE.read_text("utf-8"))
    return 0


def rounded(value: Any) -> Any:
    """Four digits are more than two runs have in common."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def machine() -> str:
    """In words."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(
        found.ru_utime + found.ru_stime
        for found in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def read_bytes() -> int:
    """That this process has asked the system for."""
    line = next(line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


def taken(work: Callable[[], object]) -> tuple[float, int]:
    """CPU seconds and bytes read of one run."""
    before, read = cpu_seconds(), read_bytes()
    work()
    return cpu_seconds() - before, read_bytes() - read


def cuts(files: list[Path]) -> dict[str, list[Path]]:
    """A few real recordings, and two minutes of each in the other formats; made once."""
    made: dict[str, list[Path]] = {name: [] for name in FORMATS}
    # Ogg as it is: to write it could crash.
    long = [path for path in files if soundfile.info(path).duration > 120]
    for number, path in enumerate(long[:: max(1, len(long) // FILES)][:FILES]):
        samples, rate = soundfile.read(path, frames=120 * soundfile.info(path).samplerate, dtype="float32")
        for name, kind in FORMATS.items():
            cut = WORK / "costs" / name / f"{number:02d}.{name}"
            made[name].append(cut)
            if cut.exists():
                continue
            cut.parent.mkdir(parents=True, exist_ok=True)
            if name == "ogg":
                shutil.copy(path, cut)
            elif kind:
                soundfile.write(cut, samples, rate, format=kind)
            else:
                write_m4a(cut, samples, rate)
    return made


def write_m4a(path: Path, samples: Any, rate: int) -> None:
    """As AAC in MP4."""
    with av.open(str(path), "w", format="ipod") as file:
        stream = file.add_stream("aac", rate=rate)
        stream.layout = "stereo" if samples.ndim > 1 else "mono"
        planes = np.ascontiguousarray(np.atleast_2d(samples.T))
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=stream.layout.name)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


def slopes(section: dict[str, Any], files: list[Path]) -> dict[str, float]:
    """A feature of each file, at two lengths: CPU seconds and bytes read a track and a second of sound."""
    store = Store(str(files[0].parent))
    refs = [MediaRef(path.name, path.name) for path in files]
    sides = []
    for seconds in (SHORT_S, LONG_S):
        keys = {**section, "segments": {"span_s": seconds, "position": "start"}}
        feature = feature_of("measured", FeatureSection.model_validate(keys), "costs")
        feature.prepare()

        def work(feature: Any = feature) -> None:
            with quiet_decoders():
                for ref in refs:
                    feature.clips(store, ref)

        work()
        rounds = [taken(work) for _ in range(3)]
        sides.append([statistics.median(side) / len(files) for side in zip(*rounds, strict=True)])
    (short_cpu, short_read), (long_cpu, long_read) = sides
    cpu, read = ((b - a) / (LONG_S - SHORT_S) for a, b in ((short_cpu, long_cpu), (short_read, long_read)))
    return {
        "cpu_s_per_track": max(0.0, short_cpu - SHORT_S * cpu),
        "cpu_s_per_s": cpu,
        "read_bytes_per_track": max(0.0, short_read - SHORT_S * read),
        "read_bytes_per_s": max(0.0, read),
    }


def formats(music: dict[str, list[Path]]) -> dict[str, dict[str, float]]:
    """The plainest feature of each format."""
    return {name: slopes({"kind": PLAIN}, files) for name, files in music.items()}


def features(files: list[Path]) -> dict[str, dict[str, float]]:
    """Every preset, of Ogg Vorbis."""
    found = {}
    for name, preset in PRESETS.items():
        if preset.kind == "log_mel":
            found[f"log_mel:{name}"] = slopes({"kind": "log_mel", "preset": name}, files)
    return {
        **found,
        "waveform": slopes({"kind": "waveform"}, files),
        "fingerprint": slopes({"kind": "fingerprint"}, files),
    }


def shards() -> dict[str, float]:
    """What a stored clip takes beside its tensor, and CPU seconds a byte of writing one."""
    section = FeatureSection.model_validate({"kind": "waveform"})
    feature = feature_of("measured", section, "costs")
    data = np.zeros(480_000, np.int16)
    store, sizes = Store(str(WORK / "costs")), {}
    seconds = 0.0
    for count in (20, 160):

        def work(count: int = count) -> None:
            with writing_shard(store, f"shard-{count}.parquet", feature.spec(), {}) as writer:
                for number in range(count):
                    writer.append(Clip(f"track-{number:05d}", 0, 0.0, data))

        seconds, _ = taken(work)
        sizes[count] = store.info(f"shard-{count}.parquet").bytes
    each = (sizes[160] - sizes[20]) / 140 - data.nbytes
    return {
        "bytes_per_clip": each,
        "bytes_per_shard": sizes[20] - 20 * (each + data.nbytes),
        "cpu_s_per_gb": seconds / (160 * data.nbytes / 1e9),
    }


def tracks(files: list[Path]) -> dict[str, float]:
    """Of a build beside the features themselves: looking at files, decoders in processes of their own, tables."""
    store = Store(str(files[0].parent))
    small = [path.name for path in sorted(files, key=lambda path: path.stat().st_size)]
    for name in small:
        probe(store, name)
    half = len(small) // 2
    groups = []
    for names in (small[:half], small[half:]):

        def look(names: list[str] = names) -> None:
            for name in names:
                probe(store, name)

        cpu = statistics.median(taken(look)[0] for _ in range(3))
        groups.append((cpu / len(names), statistics.mean(store.info(name).bytes for name in names)))
    (less, small_bytes), (more, large_bytes) = groups
    per_byte = max(0.0, (more - less) / (large_bytes - small_bytes))
    sides = []
    for count in (FEW_TRACKS, MANY_TRACKS):
        folder = linked(files, count, WORK / "costs/linked")
        settings = [
            f"source.path={folder}",
            "source.keep_duplicates=true",
            f"features.ttmr.segments={{span_s: {SHORT_S}, position: start}}",
        ]
        sides.append(stage_costs("folder", settings, ["source", "tags", "splits", "features"]))
    span = MANY_TRACKS - FEW_TRACKS
    ours = {name: (sides[1][name]["cpu_s"] - sides[0][name]["cpu_s"]) / span for name in sides[0]}
    fixed = sum(sides[0][name]["cpu_s"] - FEW_TRACKS * ours[name] for name in sides[0])
    return {
        "probe_cpu_s_per_file": max(0.0, less - small_bytes * per_byte),
        "probe_cpu_s_per_gb": per_byte * 1e9,
        "feature_build_cpu_s_per_track": ours["features"],
        "fixed_cpu_s": fixed,
        "fixed_features_cpu_s": sides[0]["features"]["cpu_s"] - FEW_TRACKS * ours["features"],
        "table_bytes_per_track": sum(sides[1][name]["bytes"] - sides[0][name]["bytes"] for name in TABLES) / span,
    }


def tables() -> dict[str, float]:
    """Annotations read, cleaned and split, at a hundredth and half of the Million Song Dataset's size."""
    sides = []
    for share in (SMALL, LARGE):
        folder = million_song(share)
        sides.append(stage_costs("msd500", [f"source.path={folder}"], ["source", "tags", "splits"]))
        sides[-1]["counts"] = counts(Store(str(WORK / "costs/out")))
    few, many = sides
    rows = many["counts"]["annotations"] - few["counts"]["annotations"]
    labelled = many["counts"]["labelled"] - few["counts"]["labelled"]
    read = (many["source"]["cpu_s"] - few["source"]["cpu_s"]) / rows
    cleaned = (many["tags"]["cpu_s"] - few["tags"]["cpu_s"]) / rows
    split = (many["splits"]["cpu_s"] - few["splits"]["cpu_s"]) / labelled
    return {
        "source_cpu_s_per_annotation": read,
        "tags_cpu_s_per_annotation": cleaned,
        "splits_cpu_s_per_track": split,
        "splits_cpu_s": max(0.0, few["splits"]["cpu_s"] - few["counts"]["labelled"] * split),
        "bytes_per_annotation": sum(many[n]["bytes"] - few[n]["bytes"] for n in ("source", "tags", "splits"))
        / rows,
    }


def counts(out: Store) -> dict[str, int]:
    """Annotations that the source gave, and tracks that were split."""
    stages = require_receipt(out).stages
    return {
        "annotations": stages["source"].files["annotations.parquet"].rows,
        "labelled": stages["splits"].files["splits.parquet"].rows,
    }


def stage_costs(manifest: str, settings: list[str], stages: list[str]) -> dict[str, Any]:
    """CPU seconds and bytes of each stage, made one after the other from nothing."""
    out = WORK / "costs/out"
    shutil.rmtree(out, ignore_errors=True)
    loaded, where, base = load_manifest(manifest, settings)
    found: dict[str, Any] = {}
    with own_cache():
        for name in stages:
            request = Request(loaded, where, base, Store(str(out)), Engine(workers=1), (name,))
            seconds, _ = taken(partial(made, request))
            files = require_receipt(Store(str(out))).stages
            key = next(stage for stage in files if stage == name or stage.startswith(f"{name}."))
            found[name] = {"cpu_s": seconds, "bytes": sum(file.bytes for file in files[key].files.values())}
    return found


def made(request: Request) -> None:
    """A build, its decoders ended, so that their seconds are counted."""
    from pipelines.features.isolation import stop

    build(request, Reporter(quiet=True))
    stop()


@contextmanager
def own_cache() -> Iterator[None]:
    """Nothing is known from before."""
    before = os.environ.get("TRACKLORE_CACHE")
    cache = WORK / "costs/cache"
    shutil.rmtree(cache, ignore_errors=True)
    os.environ["TRACKLORE_CACHE"] = str(cache)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TRACKLORE_CACHE"]
        else:
            os.environ["TRACKLORE_CACHE"] = before


def videos() -> dict[str, float]:
    """A generated video of 360 lines: looked through, its pictures as CLIP vectors by a model of the published
    shape with random weights, and their colours."""
    from pipelines.synthesis.videos import encode_video, plan_video
    from pipelines.videos.examine import examine

    path = WORK / "costs/video.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        encode_video(plan_video("music_video", 1, VIDEO_S, FPS, SIZE), path)
    section = VideosSection()
    request = {"filter": section.filter.model_dump(mode="json"), "max_duration_s": section.max_duration_s}
    looked, _ = taken(lambda: examine({**request, "audio": str(path), "video": str(path)}))
    return {
        "examine_cpu_s_per_s": looked / VIDEO_S,
        "clip_cpu_s_per_s": of_a_second(path, {"kind": "clip", "path": str(clip_model())}),
        "colour_layout_cpu_s_per_s": of_a_second(path, {"kind": "colour_layout"}),
        "file_bytes_per_s": path.stat().st_size / VIDEO_S,
    }


def of_a_second(path: Path, section: dict[str, Any]) -> float:
    """CPU seconds of a feature of a second of video."""
    sides = []
    for seconds in (SHORT_VIDEO_S, LONG_VIDEO_S):
        keys = {**section, "segments": {"span_s": seconds, "count": 1, "segment_s": seconds}}
        feature = feature_of("measured", FeatureSection.model_validate(keys), "costs")
        feature.prepare()

        def work(feature: Any = feature) -> None:
            feature.finish([feature.clips(Store(str(path.parent)), MediaRef("one", path.name))])

        work()
        sides.append(statistics.median(taken(work)[0] for _ in range(3)))
    return (sides[1] - sides[0]) / (LONG_VIDEO_S - SHORT_VIDEO_S)


def clip_model() -> Path:
    """CLIP ViT-B/32's image half with random weights: as much work as with its own."""
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = WORK / "costs/clip"
    if not (folder / "model.safetensors").exists():
        CLIPVisionModelWithProjection(CLIPVisionConfig()).save_pretrained(folder)
        CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def element_bytes() -> float:
    """What one task's number takes where the engine spreads the tasks: the number, a key, a window and a time."""
    from apache_beam.coders import FastPrimitivesCoder, TupleCoder, VarIntCoder, WindowedValueCoder
    from apache_beam.transforms.window import GlobalWindows

    coder = TupleCoder((VarIntCoder(), WindowedValueCoder(FastPrimitivesCoder())))
    return float(len(coder.encode((1 << 31, GlobalWindows.windowed_value([5_000])))))


if __name__ == "__main__":
    sys.exit(main())
