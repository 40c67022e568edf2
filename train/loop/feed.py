"""Batches on the device ahead of use: while a step computes, the next one's tensors are on their way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from train.data.batches import Batch

Fed = tuple[Batch, dict[str, Tensor]]
_AHEAD = 2


def loaded(batch: Batch, device: torch.device) -> Fed:
    """A batch and its tensors in this machine's memory, pinned where a GPU is to fetch them; for reader threads."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.tensors.items()}
    if device.type == "cuda":
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    return batch, tensors


def fed(batches: Iterable[Fed], device: torch.device) -> Iterator[Fed]:
    """What `loaded` gives, in order, its tensors on `device`: to a GPU copied on a stream of their own, ahead."""
    if device.type != "cuda":
        yield from batches
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    waiting: deque[tuple[Fed, torch.cuda.Event]] = deque()
    for batch in batches:
        waiting.append(_sent(batch, device, stream))
        if len(waiting) >= _AHEAD:
            yield _arrived(*waiting.popleft(), device)
    while waiting:
        yield _arrived(*waiting.popleft(), device)


def _sent(found: Fed, device: torch.device, stream: torch.cuda.Stream) -> tuple[Fed, torch.cuda.Event]:
    batch, held = found
    with torch.cuda.stream(stream):
        tensors = {name: tensor.to(device, non_blocking=True) for name, tensor in held.items()}
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(stream)
    return (batch, tensors), done


def _arrived(found: Fed, done: torch.cuda.Event, device: torch.device) -> Fed:
    current = torch.cuda.current_stream(device)
    current.wait_event(done)
    for tensor in found[1].values():
        tensor.record_stream(current)  # the memory is not given away before the step that reads it is done
    return found
