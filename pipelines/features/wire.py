"""How a decoder and the process that writes the shard talk: a JSON head, and the tensors' bytes as they are."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_HEAD = struct.Struct("<I")
_MOST_AT_ONCE = 1 << 30
_LOOK_EVERY_S = 1.0


class Patience:
    """Seconds that may be spent on waiting. A machine or a build that was put to sleep meanwhile costs a second."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def wait(self, channel: socket.socket) -> None:
        """Wait until there is something to read.

        Raises:
            TimeoutError: the seconds are spent.
        """
        watch = select.poll()
        watch.register(channel, select.POLLIN)
        while self._left > 0:
            slice_s = min(self._left, _LOOK_EVERY_S)
            started = time.monotonic()
            ready = watch.poll(1000 * slice_s)
            self._left -= min(time.monotonic() - started, slice_s)
            if ready:
                return
        raise TimeoutError


def send(channel: socket.socket, value: Any, tensors: Sequence[npt.NDArray[Any]] = ()) -> None:
    """Send a JSON value, and tensors behind it.

    Raises:
        OSError: the other side is gone.
    """
    shapes = [[tensor.dtype.str, list(tensor.shape)] for tensor in tensors]
    head = json.dumps([value, shapes]).encode("ascii")
    channel.sendall(_HEAD.pack(len(head)) + head)
    for tensor in tensors:
        if tensor.size:
            channel.sendall(_bytes_of(np.ascontiguousarray(tensor)))


def receive(channel: socket.socket, patience: Patience | None = None) -> tuple[Any, list[npt.NDArray[Any]]]:
    """What `send` sent, the tensors read straight into their own memory.

    Args:
        patience: None waits for ever.

    Raises:
        TimeoutError: patience is at its end.
        EOFError: the other side is gone.
    """
    (length,) = _HEAD.unpack(_read(channel, bytearray(_HEAD.size), patience))
    value, shapes = json.loads(_read(channel, bytearray(length), patience))
    tensors = []
    for dtype, shape in shapes:
        tensor = np.empty(shape, np.dtype(dtype))
        if tensor.size:
            _read(channel, _bytes_of(tensor), patience)
        tensors.append(tensor)
    return value, tensors


def _read(channel: socket.socket, target: Any, patience: Patience | None) -> Any:
    view = memoryview(target)
    have = 0
    while have < len(view):
        if patience is not None:
            patience.wait(channel)
        try:
            count = channel.recv_into(view[have:], min(len(view) - have, _MOST_AT_ONCE))
        except ConnectionError as error:
            raise EOFError from error
        if not count:
            raise EOFError
        have += count
    return target


def _bytes_of(tensor: npt.NDArray[Any]) -> memoryview:
    return tensor.reshape(-1).view(np.uint8).data
