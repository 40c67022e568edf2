"""Where a training runs: one process, or one a device."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessRaisedException

from schemas.errors import DataError, TrackloreError, UsageError
from train.recipe import MachineSection

_ERRORS: dict[str, type[TrackloreError]] = {"DataError": DataError, "UsageError": UsageError}


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


def launched(machine: MachineSection, work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(fabric, *arguments)` in every process of the training.

    Processes are started here unless torchrun or a cluster started them already. They are spawned and do not run
    the command line again, so `work` may be called from any program.

    Raises:
        UsageError, DataError: what `work` raised, whichever process it was.
    """
    processes = device_count(machine)
    started = "LOCAL_RANK" in os.environ or "SLURM_PROCID" in os.environ
    several = "ddp" if started else "ddp_spawn"
    fabric = Fabric(
        accelerator="cuda" if on_cuda(machine) else "cpu",
        devices=processes,
        strategy=several if processes > 1 or started else "auto",
        precision=precision(machine),  # type: ignore[arg-type]
    )
    if processes == 1 or started:
        fabric.launch()
        work(fabric, *arguments)
        return
    try:
        fabric.launch(work, *arguments)
    except ProcessRaisedException as error:
        last = str(error).strip().splitlines()[-1]
        known = re.match(r"schemas\.errors\.(\w+): (.*)", last)
        if known and known[1] in _ERRORS:
            raise _ERRORS[known[1]](known[2]) from error
        raise
