"""Checkpoints: one safetensors file, written aside and renamed, so there is always a whole one.

Tensors stand under `model.NAME`, `optimiser.NAME.KEY` and, where weights are averaged, `average.NAME`; all else
(step, best, patience, history) is one JSON text in the file's metadata. The schedule and the reader's position
follow from the step, and the random numbers from (seed, step, sample), so nothing else is needed to go on exactly.
No pickle is involved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from schemas.digests import canonical_json
from schemas.errors import DataError
from schemas.store import Store
from train.loop.average import Average


@dataclass
class Progress:
    """How far a training came.

    Attributes:
        step: optimiser steps done.
        best_value: what the best validation is told by, the recipe's `select_by`; null before the first.
        best_loss, best_step: of the best validation.
        kept: cost (less is better) and step of the validations whose weights stand in `best/`, the best first.
        bad: validations since the best.
        finished: all epochs done, or patience ran out.
        history: rows as `history.jsonl` holds them.
        running: of the loss and the batches' figures, the sum since the last logged row and how many, by name.
    """

    step: int = 0
    best_value: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    bad: int = 0
    finished: bool = False
    kept: list[tuple[float, int]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    running: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, figures: Mapping[str, float]) -> None:
        """Count a step's figures."""
        for name, value in figures.items():
            total, count = self.running.get(name, (0.0, 0))
            self.running[name] = (total + value, count + 1)

    def means(self) -> dict[str, float]:
        """The figures' means since the last call."""
        found = {name: total / count for name, (total, count) in self.running.items()}
        self.running = {}
        return found


def model_bytes(network: nn.Module) -> bytes:
    """The weights and buffers as safetensors."""
    return save_tensors(_weights(network))


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


def checkpoint_bytes(
    network: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress, average: Average | None = None
) -> bytes:
    """Everything that going on needs."""
    averaged = average.tensors if average is not None else {}
    tensors = {f"average.{name}": tensor.cpu().contiguous() for name, tensor in averaged.items()}
    tensors |= {f"model.{name}": tensor for name, tensor in _weights(network).items()}
    for name, parameter in network.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{name}.{key}"] = torch.as_tensor(value).detach().cpu().contiguous()
    return save_tensors(tensors, {"progress": canonical_json(asdict(progress))})


@torch.no_grad()
def restore(
    store: Store,
    path: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average | None = None,
) -> Progress:
    """Load a checkpoint into a network, its optimiser and its average.

    Raises:
        DataError: the file is damaged or of another network.
    """
    where = f"{store.root}/{path}"
    raw = store.read_bytes(path)
    try:
        tensors = load_tensors(raw)
        length = int.from_bytes(raw[:8], "little")
        content = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["progress"])
        running = content.pop("running")
        sums = {name: (float(total), int(count)) for name, (total, count) in running.items()}
        content["kept"] = [(float(value), int(step)) for value, step in content.get("kept", [])]
        progress = Progress(**content, running=sums)
        network.load_state_dict(_below("model.", tensors))
        if average is not None:
            held = _below("average.", tensors)
            for name, tensor in average.tensors.items():
                tensor.copy_(held[name])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{where}: cannot be resumed from ({reason}); train again into another --out") from error
    moments = _below("optimiser.", tensors)
    for name, parameter in network.named_parameters():
        found = _below(f"{name}.", moments)
        if found:
            # The moments take the parameter's device and memory layout, since another layout rounds otherwise;
            # Adam keeps its step count on the CPU, unless it is fused.
            place = parameter.device if optimiser.defaults.get("fused") else torch.device("cpu")
            optimiser.state[parameter] = {
                key: value.to(place) if key == "step" else torch.empty_like(parameter).copy_(value)
                for key, value in found.items()
            }
    return progress


def load_model(store: Store, path: str, network: nn.Module) -> None:
    """Load weights alone.

    Raises:
        DataError: the file is missing, damaged or of another network.
    """
    where = f"{store.root}/{path}"
    try:
        network.load_state_dict(load_tensors(store.read_bytes(path)))
    except FileNotFoundError as error:
        raise DataError(
            f"{where}: is missing; the training was cut off early: go on with it by --resume"
        ) from error
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{where}: is not this run's model ({reason}); train again") from error


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
