"""The process that decoders are born in: it has imported what they need, so that a new one takes milliseconds.

`isolation.py` starts it as a program of its own and asks it, over a socket, to prepare features, to fork decoders
and to bury them. It has one thread, holds no file of a user's, and ends when its parent does, however that ends;
its decoders end with it.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from pipelines.features.base import Feature, feature_of
from pipelines.features.media import MediaRef
from pipelines.features.wire import Patience, receive, send
from schemas.errors import StoreFailedError, TrackloreError
from schemas.manifest import FeatureSection
from schemas.store import Store

IDLE_S = 60.0
BURIAL_S = 5.0
_PR_SET_PDEATHSIG = 1


class Nursery:
    """Answers requests until its parent is gone, or has asked for nothing in a minute."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._features: dict[tuple[str, str], Feature] = {}
        self._alive: set[int] = set()

    def serve(self) -> None:
        """The requests: `prepare` a feature; `fork` a decoder, whose end of a socket comes behind; `bury` one."""
        while True:
            try:
                request, _ = receive(self._parent, Patience(IDLE_S))
            except TimeoutError:
                if self._alive:
                    continue
                return
            except EOFError:
                return
            answer = {"prepare": self._prepare, "fork": self._fork, "bury": self._bury}[request["do"]](request)
            send(self._parent, answer)

    def _prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        key = (request["name"], request["section"])
        if key not in self._features:
            try:
                feature = feature_of(
                    request["name"], FeatureSection.model_validate_json(request["section"]), "feature"
                )
                feature.prepare()
                # What a decoder tells its errors with: one that is out of memory could not load it.
                import pipelines.features.decode  # noqa: F401
            except Exception as error:
                return error_as_json(error)
            self._features[key] = feature
            gc.collect()
            gc.freeze()  # so that the decoders' collectors leave the shared pages alone
        return {}

    def _fork(self, request: dict[str, Any]) -> dict[str, Any]:
        _, (descriptor,), _, _ = socket.recv_fds(self._parent, 1, 1)
        nursery = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # too many processes, or too little memory: not this track's fault
            os.close(descriptor)
            return {"error": "DataError", "text": f"no decoder can be started ({error.strerror}); build again"}
        if pid:
            os.close(descriptor)
            self._alive.add(pid)
            return {"pid": pid}
        status = 1
        try:
            self._parent.close()
            _end_with(nursery)
            _limit_memory(request["bytes"])
            feature = self._features[request["name"], request["section"]]
            decode_until_closed(socket.socket(fileno=descriptor), feature, Store(request["media"]))
            status = 0
        finally:
            os._exit(status)

    def _bury(self, request: dict[str, Any]) -> dict[str, Any]:
        """End a decoder and tell how it had ended: the signal that it died of, or its exit code."""
        pid = request["pid"]
        if request["kill"]:
            os.kill(pid, signal.SIGKILL)  # never another's: a pid is not given anew before it is waited for
        until = time.monotonic() + BURIAL_S
        while time.monotonic() < until:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._alive.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                return {"signal": -code} if code < 0 else {"code": code}
            time.sleep(0.002)
        if not request["kill"]:
            self._bury({**request, "kill": True})
        return {}  # a killed one that is still there waits for a device, and is gone when that answers


def decode_until_closed(channel: socket.socket, feature: Feature, media: Store) -> None:
    """A decoder's life: a track in, its clips out, until the other side closes the socket."""
    while True:
        try:
            track, _ = receive(channel)
        except EOFError:
            return
        try:
            clips = feature.clips(media, MediaRef(*track))
        except Exception as error:
            # Its frames hold what was decoded so far; where memory was refused there is none to tell of it with.
            error.__traceback__ = error.__context__ = None
            send(channel, error_as_json(error))
        else:
            rows = [[clip.track_id, clip.segment, clip.start_s] for clip in clips]
            send(channel, {"clips": rows}, [clip.data for clip in clips])


def error_as_json(error: Exception) -> dict[str, Any]:
    """An error as it goes over the wire; `isolation.raise_error` raises it on the other side."""
    from pipelines.features.decode import ExcludedError

    if isinstance(error, ExcludedError):
        return {"error": "ExcludedError", "text": error.detail, "reason": str(error.reason)}
    if isinstance(error, StoreFailedError):
        return {"error": "StoreFailedError", "text": str(error.strerror)}
    if out_of_memory(error):
        return {"error": "MemoryError", "text": str(error)}
    if isinstance(error, ImportError):
        return {"error": "ImportError", "text": str(error), "name": error.name}
    kind = type(error).__name__
    if isinstance(error, TrackloreError):
        return {"error": "UsageError" if error.exit_code == 2 else "DataError", "text": str(error)}
    return {"error": "Exception", "text": f"{kind}: {error}"}


def out_of_memory(error: Exception) -> bool:
    """Whether memory was refused, as numpy, FFmpeg, PyTorch and C++ say it."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "bad_alloc" in str(error)))
    )


def _end_with(nursery: int) -> None:
    """Be killed when the nursery ends; where the system has no such thing, the closed socket is the sign."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != nursery:
        os._exit(1)


def _limit_memory(headroom: int) -> None:
    """Let this process take so many bytes more of private memory than it has."""
    with suppress(OSError, ValueError):
        pages = int(open("/proc/self/statm").read().split()[5])  # noqa: PTH123, SIM115 - data and stack
        limit = pages * resource.getpagesize() + headroom
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    """Serve the socket that was handed down as the descriptor on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.unraisablehook = lambda _: None  # a store that fails under libsndfile; the track is told of it
    Nursery(socket.socket(fileno=int(sys.argv[1]))).serve()
    os._exit(0)  # at once: taking down all that was imported would keep the parent waiting, and saves nothing


if __name__ == "__main__":
    main()
