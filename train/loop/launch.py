"""Where a training runs: one process, or one a device."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from typing import Any

from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from schemas.errors import DataError, StoreFailedError, TrackloreError, UsageError
from train.loop.devices import device_count, on_cuda, precision
from train.loop.stopping import listening
from train.recipe import MachineSection

_ERRORS: dict[str, type[TrackloreError]] = {"DataError": DataError, "UsageError": UsageError}


def launched(machine: MachineSection, work: Callable[..., Any], *arguments: Any) -> Any:
    """Call `work(fabric, *arguments)` in every process of the training, and return what the first one gave.

    Processes are started here unless torchrun or a cluster started them already. They are spawned and do not run
    the command line again, so `work` may be called from any program.

    Raises:
        UsageError, DataError, StoreFailedError: what `work` raised, whichever process it was.
        SystemExit: of code 0, when SIGTERM ended the processes before they began.
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
        return work(fabric, *arguments)
    try:
        with listening(forward=True) as stop:
            return fabric.launch(work, *arguments)
    except ProcessExitedException as error:
        if stop.asked:  # before there was anything to save
            raise SystemExit(0) from error
        raise
    except ProcessRaisedException as error:
        last = str(error).strip().splitlines()[-1]
        known = re.match(r"schemas\.errors\.(\w+): (.*)", last)
        if known and known[1] in _ERRORS:
            raise _ERRORS[known[1]](known[2]) from error
        failed = re.match(r"schemas\.errors\.StoreFailedError: \[Errno (\d+)\] (.*)", last)
        if failed:
            told = re.match(r"""(.*): ('.*'|".*")$""", failed[2])  # and of what, as Python writes a text
            why, place = (told[1], ast.literal_eval(told[2])) if told else (failed[2], None)
            raise StoreFailedError(int(failed[1]), why, place) from error
        raise
