"""The trainer on this machine's processor: its loader against what its model consumes, the objective against batch
size, and a step against a plain PyTorch loop.

The data are synthetic clips of 30 s in shards (3000 x 128 float16) with tags; the model is the demo recipe's. The
plain loop is written as TTMR's released repository is: a DataLoader over .npy files of samples by path, batches of
64, the mel spectrogram in the model, float32, the same network in PyTorch's own memory layout. Sides take turns.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import WORK
from benchmarks.result import Result
from schemas.receipt import FileEntry, Receipt, StageEntry
from schemas.shards import Clip, FeatureSpec, shard_path, writing_shard
from schemas.store import Store
from schemas.tables import LABELS, SPLITS, TRACKS
from train import cli
from train.data.loader import ahead
from train.data.order import EpochOrder
from train.data.tokens import tokenize
from train.data.vocabulary import prepared
from train.loop.accumulate import accumulated_backward
from train.models.network import Network, Tensors
from train.objectives import info_nce
from train.objectives.base import Pairs
from train.recipe import load_recipe
from train.run import TOKENIZER
from train.tasks import task_module

TRACKS_HELD, FRAMES, BANDS, BATCH = 256, 3000, 128, 64
RATE, HOP = 16_000, 160
ROUNDS, STEPS = 3, 8
SIZES = (64, 512, 4096, 8192)
DIMENSIONS, CHUNK = 128, 256
TAGS = tuple(f"tag {number}" for number in range(40))


def run() -> list[Result]:
    """Loader, objective and step."""
    folder = WORK / "train"
    shutil.rmtree(folder, ignore_errors=True)
    data = _written(folder / "data")
    recipe = load_recipe("demo", [f"training.batch_size={BATCH}", "training.patience=null"])
    plain = _Plain(folder, data, recipe)
    rates: dict[str, list[float]] = {"loader": [], "ours": [], "plain": []}
    for turn in range(ROUNDS + 1):
        measured = {
            "loader": _loader(data, recipe, turn),
            "ours": _ours(data, folder / f"run-{turn}"),
            "plain": plain.clips_per_second(),
        }
        if turn:  # the first turn warms files and kernels
            for name, rate in measured.items():
                rates[name].append(rate)
    loader, ours, theirs = (statistics.median(rates[name]) for name in ("loader", "ours", "plain"))
    shutil.rmtree(folder)
    found = [
        Result("loader alone, demo recipe", "what its model consumes", loader, ours, 3.0, "clips/s"),
        Result("training, demo recipe", "plain PyTorch loop, .npy by path", ours, theirs, 1.0, "clips/s"),
    ]
    for size in SIZES:
        rate = _objective(size)
        name = f"InfoNCE alone, batch {size:,}"
        found.append(Result(name, "what the demo's model consumes", rate, ours, 1.0, "tracks/s"))
    whole, chunked = _step(SIZES[-1], None), _step(SIZES[-1], CHUNK)
    name = f"step of batch {SIZES[-1]:,} in chunks of {CHUNK}"
    found.append(Result(name, "the same step whole, encoders of one layer", chunked, whole, 0.3, "tracks/s"))
    return found


def _written(root: Path) -> str:
    """A dataset of random clips."""
    store, rng = Store(str(root)), np.random.default_rng(0)
    ids = [f"t{number:04d}" for number in range(TRACKS_HELD)]
    tags = [sorted(rng.choice(TAGS, int(rng.integers(1, 8)), replace=False).tolist()) for _ in ids]
    artists = [{"track_id": i, "artist_id": i, "artist_name": i, "recording_id": i} for i in ids]
    TRACKS.write(store, TRACKS.from_rows(artists))
    captions = [{"track_id": i, "tags": t, "caption": ", ".join(t)} for i, t in zip(ids, tags, strict=True)]
    LABELS.write(store, LABELS.from_rows(captions))
    SPLITS.write(
        store, SPLITS.from_rows({"scheme": "default", "fold": 0, "track_id": i, "split": "train"} for i in ids)
    )
    path = shard_path("ttmr", 0, 1)
    spec = FeatureSpec("ttmr", "float16", (-1, BANDS), {"kind": "log_mel", "hop_s": HOP / RATE})
    with writing_shard(store, path, spec, {"shard": 0}) as writer:
        for track in ids:
            writer.append(Clip(track, 0, 0.0, rng.normal(-40, 15, (FRAMES, BANDS)).astype(np.float16)))
    files = {
        name: FileEntry(sha256=store.sha256(name), bytes=store.size(name) or 0, rows=len(ids))
        for name in (path, TRACKS.filename, LABELS.filename, SPLITS.filename)
    }
    tables = {name: entry for name, entry in files.items() if name != path}
    stages = {
        "tables": StageEntry(version=1, digest="0" * 64, files=tables),
        "features.ttmr": StageEntry(version=1, digest="0" * 64, files={path: files[path]}),
    }
    Receipt(name="benchmark", manifest="0" * 64, shards=1, stages=stages).write(store)
    return str(root)


def _loader(data: str, recipe: Any, turn: int) -> float:
    """Batches made and thrown away, clips a second."""
    material = task_module(recipe.task).opened(data, recipe)
    _, kept = material.new_network()
    batches, _ = material.batches(kept)
    order = EpochOrder(TRACKS_HELD, BATCH, 0)
    steps = range(turn * 1000, turn * 1000 + 200)
    began = time.perf_counter()
    for _ in ahead(
        lambda step: batches.training(order, *divmod(step, order.steps)),
        steps,
        threads=recipe.machine.readers,
        depth=recipe.machine.ahead,
    ):
        pass
    return len(steps) * BATCH / (time.perf_counter() - began)


def _ours(data: str, out: Path) -> float:
    """The trainer itself, clips a second of all its steps but the first two."""
    epochs = -(-(STEPS + 2) * BATCH // TRACKS_HELD)
    settings = [f"training.batch_size={BATCH}", f"training.epochs={epochs}", "training.patience=null"]
    settings += ["training.log_every=2", "training.checkpoint_every=1000", "machine.accelerator=cpu"]
    with contextlib.redirect_stdout(io.StringIO()):
        cli.train("demo", data, str(out), settings=settings)
    module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = module.EventAccumulator(str(out / "logs")).Reload()
    rates = [float(event.value) for event in events.Scalars("speed/clips_per_s")][1:]
    return len(rates) / sum(1 / rate for rate in rates)


class _Files(torch.utils.data.Dataset[tuple[Tensor, str]]):
    """Samples by path, and a text of the track."""

    def __init__(self, folder: Path, texts: list[list[str]], samples: int) -> None:
        self.folder, self.texts, self.samples = folder, texts, samples

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, item: int) -> tuple[Tensor, str]:
        sound = np.load(self.folder / f"{item}.npy", mmap_mode="r")
        start = np.random.randint(len(sound) - self.samples)
        tags = self.texts[item]
        drawn = np.random.choice(tags, np.random.randint(len(tags)) + 1, replace=False)
        return torch.from_numpy(np.array(sound[start : start + self.samples], np.float32)), ", ".join(drawn)


class _Plain:
    """A loop as one writes it."""

    def __init__(self, folder: Path, data: str, recipe: Any) -> None:
        from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

        material: Any = task_module(recipe.task).opened(data, recipe)
        network, kept = material.new_network()
        self.tokenizer = prepared(Tokenizer.from_str(kept[TOKENIZER]), recipe.text.max_length)
        self.network: Any = network.to(memory_format=torch.contiguous_format)
        self.frames = recipe.data.crop_frames
        self.mel = nn.Sequential(MelSpectrogram(RATE, 1024, hop_length=HOP, n_mels=BANDS), AmplitudeToDB())
        self.optimiser = torch.optim.AdamW(self.network.parameters(), 1e-3)
        files, rng = folder / "npy", np.random.default_rng(1)
        files.mkdir()
        texts = [list(source.tags) for source in material.train.sources]
        for item in range(len(texts)):
            np.save(files / f"{item}.npy", rng.normal(0, 0.1, FRAMES * HOP).astype(np.float32))
        held = _Files(files, texts, (self.frames - 1) * HOP)
        self.batches = torch.utils.data.DataLoader(
            held, BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
        )

    def clips_per_second(self) -> float:
        """Of all steps but the first two."""
        self.network.train()
        done, began = 0, 0.0
        while done < STEPS + 2:
            for sounds, texts in self.batches:
                tokens = tokenize(self.tokenizer, list(texts))
                audio = self.network.embed_audio(self.mel(sounds).transpose(1, 2))
                text = self.network.embed_text(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask))
                logits = self.network.objective.log_scale.exp() * audio @ text.T
                target = torch.arange(len(logits))
                loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
                self.optimiser.zero_grad()
                torch.autograd.backward(loss)
                self.optimiser.step()
                loss.item()
                done += 1
                if done == 2:
                    began = time.perf_counter()
                if done == STEPS + 2:
                    break
        return STEPS * BATCH / (time.perf_counter() - began)


def _embeddings(size: int) -> tuple[Tensor, Tensor, Pairs]:
    generator = torch.Generator().manual_seed(0)
    audio, text = (F.normalize(torch.randn(size, DIMENSIONS, generator=generator), dim=1) for _ in range(2))
    return audio, text, Pairs.of(torch.eye(size, dtype=torch.bool))


def _objective(size: int) -> float:
    """Forward and backward of embeddings, tracks a second."""
    audio, text, pairs = _embeddings(size)
    objective = info_nce.Objective(info_nce.Settings())
    rates = []
    for _ in range(4):
        began = time.perf_counter()
        objective(audio.requires_grad_(), text.requires_grad_(), pairs).backward()
        rates.append(size / (time.perf_counter() - began))
    return statistics.median(rates[1:])


class _OneLayer(Network):
    """Encoders that cost next to nothing."""

    inputs = ("sound", "words")

    def __init__(self) -> None:
        super().__init__()
        self.audio, self.text = (nn.Linear(DIMENSIONS, DIMENSIONS) for _ in range(2))
        self.objective = info_nce.Objective(info_nce.Settings())

    def sides(self, tensors: Tensors) -> tuple[Tensor, ...]:
        """Both projected."""
        return F.normalize(self.audio(tensors["sound"]), dim=1), F.normalize(self.text(tensors["words"]), dim=1)

    def between(self, sides: Any, tensors: Tensors, crops: int) -> Tensor:
        """InfoNCE of what belongs together by its place."""
        found: Tensor = self.objective(*sides, Pairs.of(tensors["relation"]))
        return found


def _step(size: int, chunk: int | None) -> float:
    """A whole step's gradients, tracks a second."""
    audio, text, pairs = _embeddings(size)
    network = _OneLayer()
    tensors = {"sound": audio, "words": text, "relation": pairs.relation}
    rates = []
    for _ in range(4):
        network.zero_grad()
        began = time.perf_counter()
        if chunk is None:
            network(tensors).backward()
        else:
            accumulated_backward(network, tensors, 1, chunk, seeded=lambda _: None)
        rates.append(size / (time.perf_counter() - began))
    return statistics.median(rates[1:])


if __name__ == "__main__":
    for result in run():
        print(result.row())
