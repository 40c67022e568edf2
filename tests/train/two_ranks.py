"""A script, not a test: the gradients of two real processes and of one, on the same global batch.

Usage: two_ranks.py FOLDER DEVICES. Rank 0 writes FOLDER/grads-DEVICES.safetensors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from train.loop.launch import launched
from train.models.audio import AudioEncoder
from train.models.network import Network
from train.models.text import TextEncoder, body_of, small_config
from train.objectives.info_nce import Objective, Settings
from train.recipe import MachineSection

TRACKS, CROPS, FRAMES, BANDS = 8, 2, 32, 16


def network() -> Network:
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
        embedding=8,
        mean=0.0,
        std=1.0,
    )
    config = small_config(vocabulary=20, width=16, layers=1, heads=2, feed_forward=16, max_length=8, dropout=0.0)
    return Network(audio, TextEncoder(body_of(config), 8), Objective(Settings()))


def work(fabric: Any, folder: str) -> None:
    """One forward and backward of the global batch; keep gradients, batch-norm statistics and the loss."""
    whole = network()
    model = fabric.setup(whole)
    generator = torch.Generator().manual_seed(1)
    mels = torch.randn(TRACKS * CROPS, FRAMES, BANDS, generator=generator)
    mels *= torch.linspace(0.2, 3, TRACKS * CROPS)[
        :, None, None
    ]  # ranks that differ show unsynchronised statistics
    ids = torch.randint(0, 20, (TRACKS, 5), generator=generator)
    relation = torch.eye(TRACKS, dtype=torch.bool)
    relation[0, 5] = relation[6, 1] = True  # positives across ranks
    part = TRACKS // fabric.world_size
    mine = slice(fabric.global_rank * part, (fabric.global_rank + 1) * part)
    heard = slice(mine.start * CROPS, mine.stop * CROPS)
    loss = model(mels[heard], ids[mine], torch.ones_like(ids[mine]), relation, CROPS)
    fabric.backward(loss)
    if fabric.global_rank == 0:
        kept = {f"grad.{n}": p.grad for n, p in whole.named_parameters() if p.grad is not None}
        kept |= {f"buffer.{n}": b.float() for n, b in whole.named_buffers() if "running" in n}
        kept["loss"] = loss.detach()
        content = {name: tensor.contiguous() for name, tensor in kept.items()}
        save_file(content, Path(folder) / f"grads-{fabric.world_size}.safetensors")


if __name__ == "__main__":
    machine = MachineSection(accelerator="cpu", devices=int(sys.argv[2]), threads=1)
    launched(machine, work, sys.argv[1])
