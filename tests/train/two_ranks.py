"""A script, not a test: the gradients of two real processes and of one, on the same global batch.

Usage: two_ranks.py FOLDER DEVICES. Rank 0 writes FOLDER/grads-DEVICES.safetensors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from train.augmentations import Chain
from train.loop.accumulate import accumulated_backward
from train.loop.launch import launched
from train.models.audios.sample_cnn import SampleCNN
from train.models.audios.ttmr import AudioEncoder
from train.models.network import Network
from train.models.texts.small import small_config
from train.models.texts.tags import Centroids
from train.models.texts.transformer import TextEncoder, body_of
from train.objectives import known_objectives, objective_module
from train.recipe import MachineSection
from train.tasks.audio_views import AudioViews
from train.tasks.text_audio.network import TextAudioNetwork

TRACKS, CROPS, FRAMES, BANDS = 8, 2, 32, 16


def network(kind: str) -> Network:
    """A small network without dropout, equal in every process."""
    torch.manual_seed(0)
    audio = AudioEncoder(
        frames=FRAMES,
        bands=BANDS,
        channels=[4, 4],
        pools=[(2, 2), (2, 2)],
        input_pool=(1, 1),
        width=16,
        layers=1,
        heads=2,
        feed_forward=16,
        dropout=0.0,
        mean=0.0,
        std=1.0,
    )
    config = small_config(vocabulary=20, width=16, layers=1, heads=2, feed_forward=16, max_length=8, dropout=0.0)
    module = objective_module(kind)
    text = Centroids(TRACKS, 8) if kind == "bce" else TextEncoder(body_of(config), 8)
    objective = module.Objective(module.Settings())
    return TextAudioNetwork(audio, text, objective, 8, shares_texts=kind == "bce")


def work(fabric: Any, folder: str) -> None:
    """For every objective, one forward and backward of the global batch, whole and in chunks."""
    kept: dict[str, torch.Tensor] = {}
    for kind in known_objectives():
        for mode, chunk in (("train", None), ("eval", None), ("chunks", 3)):
            found = gradients(fabric, kind, chunk, training=mode == "train")
            kept |= {f"{kind}/{mode}/{name}": tensor for name, tensor in found.items()}
    for mode, chunk in (("train", None), ("eval", None), ("chunks", 3)):
        found = of_views(fabric, chunk, training=mode == "train")
        kept |= {f"views/{mode}/{name}": tensor for name, tensor in found.items()}
    if fabric.global_rank == 0:
        content = {name: tensor.contiguous() for name, tensor in kept.items()}
        save_file(content, Path(folder) / f"grads-{fabric.world_size}.safetensors")


def gradients(fabric: Any, kind: str, chunk: int | None, *, training: bool) -> dict[str, torch.Tensor]:
    """What one step leaves in the network, whole or in chunks of so many tracks."""
    whole = network(kind)
    model = fabric.setup(whole)
    whole.train(training)
    generator = torch.Generator().manual_seed(1)
    mels = torch.randn(TRACKS * CROPS, FRAMES, BANDS, generator=generator)
    mels *= torch.linspace(0.2, 3, TRACKS * CROPS)[
        :, None, None
    ]  # ranks that differ show unsynchronised statistics
    relation = torch.eye(TRACKS, dtype=torch.bool)
    relation[0, 5] = relation[6, 1] = True  # positives across ranks
    ignored = torch.zeros_like(relation)
    ignored[2, 7] = True
    part = TRACKS // fabric.world_size
    mine = slice(fabric.global_rank * part, (fabric.global_rank + 1) * part)
    ids = torch.randint(0, 20, (TRACKS, 5), generator=generator)[mine]
    if kind == "bce":
        ids = torch.arange(2, 2 + TRACKS)[:, None]
    noise = torch.rand(2, TRACKS * CROPS, generator=generator)
    heard = slice(mine.start * CROPS, mine.stop * CROPS)
    known = {"relation": relation, "ignored": ignored, "noise": noise}
    tensors = {"mels": mels[heard], "ids": ids, "mask": torch.ones_like(ids), **known}
    if chunk is None:
        loss = model(tensors, CROPS)
        fabric.backward(loss)
    else:
        loss = accumulated_backward(whole, tensors, CROPS, chunk, seeded=lambda _: None)
    kept = {f"grad.{n}": p.grad for n, p in whole.named_parameters() if p.grad is not None}
    kept |= {f"buffer.{n}": b.float() for n, b in whole.named_buffers() if "running" in n}
    kept["loss"] = loss.detach()
    return {name: tensor.clone() for name, tensor in kept.items()}


def of_views(fabric: Any, chunk: int | None, *, training: bool) -> dict[str, torch.Tensor]:
    """What one step on augmented views leaves in a network of samples."""
    torch.manual_seed(0)
    audio = SampleCNN(54, 2, 3, (4, 4, 4), 8)
    module = objective_module("nt_xent")
    chain = Chain([{"kind": "polarity"}, {"kind": "gain"}, {"kind": "noise", "probability": 0.5}], 16_000)
    whole = AudioViews(audio, 8, module.Objective(module.Settings()), chain)
    for conv in (module for module in audio.modules() if isinstance(module, torch.nn.Conv1d)):
        assert conv.bias is not None
        conv.bias.requires_grad_(False)  # what is normalised away has no gradient but rounding
        conv.weight.data *= 4  # rows that differ have gradients above it
    model = fabric.setup(whole)
    whole.train(training)
    generator = torch.Generator().manual_seed(1)
    views = torch.randint(-9_000, 9_000, (TRACKS, 2, 54), generator=generator)
    views = (views * torch.linspace(0.2, 3, TRACKS)[:, None, None]).to(torch.int16)
    numbers = torch.rand(TRACKS, 2, chain.width, generator=generator)
    ignored = torch.zeros(TRACKS, TRACKS, dtype=torch.bool)
    ignored[2, 7] = ignored[7, 2] = True
    part = TRACKS // fabric.world_size
    mine = slice(fabric.global_rank * part, (fabric.global_rank + 1) * part)
    tensors = {"views": views[mine], "numbers": numbers[mine], "ignored": ignored}
    if chunk is None:
        loss = model(tensors, 1)
        fabric.backward(loss)
    else:
        loss = accumulated_backward(whole, tensors, 1, chunk, seeded=lambda _: None)
    kept = {f"grad.{n}": p.grad for n, p in whole.named_parameters() if p.grad is not None}
    kept |= {f"buffer.{n}": b.float() for n, b in whole.named_buffers() if "running" in n}
    return {name: tensor.clone() for name, tensor in {**kept, "loss": loss.detach()}.items()}


if __name__ == "__main__":
    machine = MachineSection(accelerator="cpu", devices=int(sys.argv[2]), threads=1)
    launched(machine, work, sys.argv[1])
