"""Which devices, threads and kernels. Imports no Fabric, which takes seconds, so that a search starts soon."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from schemas.errors import UsageError
from train.recipe import MachineSection


def device_count(machine: MachineSection, environment: Mapping[str, str] = os.environ) -> int:
    """How many processes train together, over this machine.

    Raises:
        UsageError: more GPUs wanted than there are.
    """
    if machine.devices != "auto":
        if machine.devices < 1:
            raise UsageError(f"machine.devices: {machine.devices}; give at least 1, or auto")
        if on_cuda(machine) and machine.devices > torch.cuda.device_count():
            raise UsageError(f"machine.devices: {machine.devices}, and there are {torch.cuda.device_count()} GPUs")
        return machine.devices
    if "LOCAL_WORLD_SIZE" in environment:
        return int(environment["LOCAL_WORLD_SIZE"])
    return torch.cuda.device_count() if on_cuda(machine) else 1


def on_cuda(machine: MachineSection) -> bool:
    """Whether GPUs are used.

    Raises:
        UsageError: wanted, and there is none.
    """
    if machine.accelerator == "cuda" and not torch.cuda.is_available():
        raise UsageError("machine.accelerator: cuda, and this machine has no GPU that PyTorch knows; use auto")
    return machine.accelerator != "cpu" and torch.cuda.is_available()


def precision(machine: MachineSection) -> str:
    """bf16 where it pays (CUDA), float32 elsewhere, unless the recipe says otherwise."""
    if machine.precision != "auto":
        return machine.precision
    return "bf16-mixed" if on_cuda(machine) and torch.cuda.is_bf16_supported() else "32-true"


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_up_torch(machine: MachineSection, processes: int) -> None:
    """Explicit threads, and kernels that give equal bits for equal input."""
    torch.set_num_threads(machine.threads or max(1, core_count() // processes))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory that it did not write; filling it costs a sixth of a step (measured).
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
