"""`search` once it is loaded, over 100,000 tracks, beside the 100 ms that a person does not wait for.

A small run is trained for an epoch; the 100,000 are rows of a dataset's tables and vectors in the run's cache, as
embedding a large dataset leaves them. A second row asks a text encoder of BERT base's size, with random weights.
Times are by the clock, the encoder's threads as many as cores, as `tracklore search` has them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import tracklore  # noqa: F401 - before PyTorch: as the command's, its threads sleep while they wait
from benchmarks.music import WORK
from benchmarks.result import Result
from schemas.receipt import FileEntry, Receipt, StageEntry
from schemas.shards import Clip, FeatureSpec, shard_path, writing_shard
from schemas.store import Store
from schemas.tables import LABELS, SPLITS, TAGS, TRACKS
from train import cli
from train.data.dataset import Dataset
from train.data.vocabulary import train_wordpiece
from train.evaluate.search import CACHE_VERSION, Index, write_cache
from train.run import MODEL, Run

TRACKS_SEARCHED, WIDTH, SHARDS = 100_000, 128, 625
MOST_MS = 100.0
QUERIES = ("calm piano", "fast drum and bass for the night", "a sad song with strings", "loud guitars")
WORDS = ("calm", "piano", "fast", "drum", "bass", "night", "sad", "strings", "loud", "guitars")
BANDS, FRAMES, TRAINED = 128, 64, 24
ZERO = "0" * 64
SMALL = (
    "data.crop_frames=64",
    "training.epochs=1",
    "training.batch_size=8",
    "machine.accelerator=cpu",
    "machine.threads=1",
)
BERT_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}


def run() -> list[Result]:
    """See the module."""
    folder = WORK / "search"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    small, large = str(folder / "small"), str(folder / "large")
    write_dataset(small, TRAINED)
    write_dataset(large, TRACKS_SEARCHED, shards=SHARDS)
    results = []
    for name, settings in (("demo", ()), ("BERT base", bert(folder / "bert"))):
        results.append(searched(name, str(folder / name.replace(" ", "-")), small, large, settings))
    shutil.rmtree(folder, ignore_errors=True)
    return results


def searched(name: str, place: str, small: str, large: str, settings: Sequence[str]) -> Result:
    """Train, fill the cache, load, and ask."""
    from torch import set_num_threads

    cli.train("demo", small, place, settings=[*SMALL, *settings])
    trained, vectors = Run.at(place), unit(TRACKS_SEARCHED)
    clips = Dataset(large).features_digest("ttmr")
    key = {"version": CACHE_VERSION, "model": trained.store.sha256(MODEL), "clips": clips}
    write_cache(trained, key, ids(TRACKS_SEARCHED), vectors)
    set_num_threads(os.cpu_count() or 1)
    index = Index(trained, large)
    for query in QUERIES:
        ask(index, query)
    taken = [timed(lambda query=query: ask(index, query)) for _ in range(10) for query in QUERIES]  # type: ignore[misc]
    searches_s = 1 / statistics.median(taken)
    what = f"search of {TRACKS_SEARCHED:,} tracks, text by {name}"
    return Result(what, f"budget of {MOST_MS:g} ms", searches_s, 1000 / MOST_MS, 1.0, "searches/s")


def ask(index: Index, query: str) -> None:
    """A whole search, of one split."""
    found = index.nearest(index.said(query), top=10, split="test")
    assert len(found) == 10 and found[0].title is not None


def timed(work: Callable[[], None]) -> float:
    """Seconds by the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bert(folder: Path) -> tuple[str, ...]:
    """Settings that put an untrained BERT of the base size in the place of the demo's text encoder."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = train_wordpiece([" ".join(WORDS), *QUERIES], 300)
    config: dict[str, Any] = {"vocab_size": 30_522, **BERT_BASE}
    BertModel(BertConfig(**config)).save_pretrained(folder)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106 - no secret
        unk_token="[UNK]",  # noqa: S106
    ).save_pretrained(folder)
    return (f"model.text={{kind: pretrained, name: {folder}}}",)


def ids(count: int) -> list[str]:
    """Sorted ids."""
    return [f"track-{number:06d}" for number in range(count)]


def unit(count: int) -> npt.NDArray[np.float32]:
    """Random directions, float32 (count, WIDTH)."""
    vectors = np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)
    directions: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return directions


def write_dataset(root: str, count: int, *, shards: int = 0) -> None:
    """A dataset of `count` tracks; with `shards`, one whose receipt lists that many that are not read."""
    store, tracks = Store(root), ids(count)
    tags = [[WORDS[number % len(WORDS)], WORDS[(number // 7) % len(WORDS)]] for number in range(count)]
    labels = [sorted(set(listed)) for listed in tags]
    names = ("train", "valid", "test", "test")
    columns: dict[Any, dict[str, Any]] = {
        TRACKS: {
            "track_id": tracks,
            "artist_id": [f"artist-{number // 10}" for number in range(count)],
            "artist_name": [f"Artist {number // 10}" for number in range(count)],
            "title": [f"Song {number}" for number in range(count)],
            "recording_id": tracks,
            "audio_uri": [f"{track}.flac" for track in tracks],
        },
        LABELS: {"track_id": tracks, "tags": labels, "caption": [", ".join(listed) for listed in labels]},
        SPLITS: {
            "scheme": ["default"] * count,
            "fold": [0] * count,
            "track_id": tracks,
            "split": [names[number % 4] for number in range(count)],
        },
        TAGS: {
            "tag": sorted(WORDS),
            "category": ["other"] * len(WORDS),
            "members": [[word] for word in sorted(WORDS)],
            "joined_by": [["self"]] * len(WORDS),
            "n_tracks": [1] * len(WORDS),
            "n_artists": [1] * len(WORDS),
        },
    }
    for schema, given in columns.items():
        rows = len(next(iter(given.values())))
        whole = {field.name: given.get(field.name, pa.nulls(rows, field.type)) for field in schema.schema}
        schema.write(store, pa.table(whole, schema=schema.schema))
    if shards:
        paths = [shard_path("ttmr", number, shards) for number in range(shards)]
        listed = {path: FileEntry(sha256=f"{number:064x}", bytes=1, rows=160) for number, path in enumerate(paths)}
    else:
        listed = {path: entry(store, path) for path in [write_clips(store, tracks)]}
    tables = {schema.filename: entry(store, schema.filename) for schema in columns}
    stages = {
        "tables": StageEntry(version=1, digest=ZERO, files=tables),
        "features.ttmr": StageEntry(version=1, digest=ZERO, files=listed),
    }
    Receipt(name="search", manifest=ZERO, shards=shards or 1, stages=stages).write(store)


def write_clips(store: Store, tracks: Sequence[str]) -> str:
    """One shard of noise."""
    rng, path = np.random.default_rng(1), shard_path("ttmr", 0, 1)
    spec = FeatureSpec("ttmr", "float16", (-1, BANDS), {"kind": "log_mel", "hop": 160})
    with writing_shard(store, path, spec, {"shard": 0}) as writer:
        for track in tracks:
            writer.append(Clip(track, 0, 0.0, rng.normal(-60, 5, (FRAMES, BANDS)).astype(np.float16)))
    return path


def entry(store: Store, path: str) -> FileEntry:
    """A receipt's line about a file that is there."""
    return FileEntry(sha256=store.sha256(path), bytes=store.size(path) or 0, rows=1)
