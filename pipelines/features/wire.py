"""How a decoder and the process that writes the shard talk: a JSON head, and the tensors' bytes as they are."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_HEAD = struct.Struct("<I")
_NO_COPY = 1 << 30


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


def receive(channel: socket.socket, deadline: float | None = None) -> tuple[Any, list[npt.NDArray[Any]]]:
    """What `send` sent, the tensors read straight into their own memory.

    Args:
        deadline: of `time.monotonic`; None waits for ever.

    Raises:
        TimeoutError: the deadline has passed.
        EOFError: the other side is gone.
    """
    (length,) = _HEAD.unpack(_read(channel, bytearray(_HEAD.size), deadline))
    value, shapes = json.loads(_read(channel, bytearray(length), deadline))
    tensors = []
    for dtype, shape in shapes:
        tensor = np.empty(shape, np.dtype(dtype))
        if tensor.size:
            _read(channel, _bytes_of(tensor), deadline)
        tensors.append(tensor)
    return value, tensors


def _read(channel: socket.socket, target: Any, deadline: float | None) -> Any:
    view = memoryview(target)
    have = 0
    while have < len(view):
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.settimeout(left)
        try:
            count = channel.recv_into(view[have:], min(len(view) - have, _NO_COPY))
        except ConnectionError as error:
            raise EOFError from error
        if not count:
            raise EOFError
        have += count
    return target


def _bytes_of(tensor: npt.NDArray[Any]) -> memoryview:
    return tensor.reshape(-1).view(np.uint8).data
