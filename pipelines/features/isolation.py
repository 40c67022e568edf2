"""Decoders in processes of their own: one that hangs, dies or eats memory costs one track and no more.

Decoders are forked from a process that has imported everything (`nursery.py`), one for each thread that computes a
shard; each serves track after track until it fails or the stage ends. No process outlives the one that asked for
it: the nursery ends when its socket closes, and the system kills the decoders with the nursery.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from pipelines.features.decode import ExcludedError
from pipelines.features.media import MediaRef
from pipelines.features.quiet import forward
from pipelines.features.wire import Patience, receive, send
from schemas.errors import DataError, UsageError
from schemas.reasons import Reason
from schemas.shards import Clip

TRACKS_PER_DECODER = 500
# For answers of the process that decoders are forked from: what it loads may come over a network.
ANSWER_S, PREPARE_S = 60.0, 900.0
FORKS_MAY_FAIL = 5
RETRY = "tracklore build --retry tries again"


@dataclass(frozen=True)
class Work:
    """What a decoder is for: a feature by name and section (JSON), the media's store, and what a track may take.

    Attributes:
        seconds: of wall clock for one track.
        bytes: of memory beyond what the decoder has when it starts.
    """

    name: str
    section: str
    media: str
    seconds: float
    bytes: int


@dataclass(frozen=True)
class _Failure:
    """How a decoder failed: for want of memory, by a signal, with an exit code, or in a way nobody could tell."""

    memory: bool = False
    signal: int | None = None
    code: int | None = None

    def exclusion(self, uri: str, work: Work) -> ExcludedError:
        if self.memory:
            detail = f"decoding needs more than {work.bytes / 1e9:.1f} GB of memory (--track-memory); {RETRY}"
            return ExcludedError(Reason.OUT_OF_MEMORY, f"{uri}: {detail}")
        if self.signal == signal.SIGKILL:
            detail = "the system killed the decoder twice, as it does when its memory runs out"
            return ExcludedError(Reason.OUT_OF_MEMORY, f"{uri}: {detail}; {RETRY}")
        if self.signal is not None:
            how = f"died of {_signal_name(self.signal)}"
        else:
            how = "ended" if self.code is None else f"ended with exit code {self.code}"
        return ExcludedError(Reason.DECODER_DIED, f"{uri}: the decoder {how}, and again in a new process")


class StoppedError(Exception):
    """The build is ending; nobody waits for the answer."""


class Isolation:
    """The decoders of this process. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nursery: _Nursery | None = None
        self._idle: list[_Decoder] = []
        self._gate = _Gate()
        self._stopped = False

    def prepare(self, name: str, section: str) -> None:
        """Load what a feature needs, in the process that decoders are forked from.

        Raises:
            UsageError, DataError, ImportError: as the feature's `prepare` raises them.
        """
        self._home(name, section)

    def clips(self, work: Work, ref: MediaRef) -> list[Clip]:
        """The clips of one track, computed in a decoder.

        A track whose decoder failed is tried once more in a new one, while no other track of this process is
        decoded, so that one that was only near when something else went wrong is kept.

        Raises:
            ExcludedError: the track cannot have the feature, or costs more than it may.
        """
        with self._gate.together():
            found = self._attempt(work, ref)
        if isinstance(found, _Failure):
            with self._gate.alone():
                self.end_idle()
                found = self._attempt(work, ref)
        if isinstance(found, _Failure):
            raise found.exclusion(ref.uri, work)
        return found

    def _attempt(self, work: Work, ref: MediaRef) -> list[Clip] | _Failure:
        try:
            decoder = self._decoder(work)
        except OSError:
            return _Failure()
        try:
            send(decoder.channel, astuple(ref))
            answer, tensors = receive(decoder.channel, Patience(work.seconds))
        except TimeoutError:
            decoder.bury(kill=True)
            detail = f"not decoded within {work.seconds:g} s (--track-timeout)"
            raise ExcludedError(Reason.TIMED_OUT, f"{ref.uri}: {detail}; {RETRY}") from None
        except (EOFError, OSError):
            return decoder.bury(kill=False)
        if answer.get("error") == "MemoryError":
            decoder.bury(kill=True)
            return _Failure(memory=True)
        self._give_back(decoder)
        if "error" in answer:
            raise_error(answer, ref.uri)
        rows = zip(answer["clips"], tensors, strict=True)
        return [Clip(track, segment, start_s, data) for (track, segment, start_s), data in rows]

    def _decoder(self, work: Work) -> _Decoder:
        with self._lock:
            for number, decoder in enumerate(self._idle):
                if decoder.work == work:
                    return self._idle.pop(number)
        for _ in range(FORKS_MAY_FAIL):
            nursery = self._home(work.name, work.section)
            try:
                return nursery.fork(work)
            except EOFError:  # it ended between its last answer and this request
                continue
        raise DataError(
            f"features.{work.name}: the process that decoders are forked from ended {FORKS_MAY_FAIL} times; "
            "build again to go on from there"
        )

    def _give_back(self, decoder: _Decoder) -> None:
        decoder.tracks += 1
        with self._lock:
            if decoder.tracks < TRACKS_PER_DECODER and not self._stopped:
                self._idle.append(decoder)
                return
        decoder.bury(kill=False)

    def _home(self, name: str, section: str) -> _Nursery:
        """The nursery, started when there is none, with a feature prepared."""
        for last in (False, True):
            with self._lock:
                if self._stopped:
                    raise StoppedError
                if self._nursery is None or self._nursery.ended():
                    self._nursery = _Nursery()
                nursery = self._nursery
            try:
                nursery.prepare(name, section)
            except EOFError:
                if last:
                    raise DataError(
                        f"features.{name}: the process that decoders are forked from ended while it was prepared; "
                        "build again to go on from there"
                    ) from None
            else:
                break
        return nursery

    def end_idle(self) -> None:
        """End the decoders that have nothing to do."""
        with self._lock:
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.bury(kill=False)

    def stop(self) -> None:
        """End every process at once; threads that wait for a decoder get a `StoppedError`, or a failure."""
        with self._lock:
            self._stopped = True
            nursery, self._nursery, self._idle = self._nursery, None, []
        if nursery is not None:
            nursery.stop()


class _Nursery:
    """The other side of `nursery.Nursery`; one request at a time."""

    def __init__(self) -> None:
        ours, theirs = _blocking_pair()
        # One thread each: a process that forks must have no others, and decoders share the cores.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # A decoder keeps the memory of one track for the next: giving it back costs a page fault a page.
        memory = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
        path = os.pathsep.join(str(Path(entry or ".").absolute()) for entry in sys.path)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-P", "-m", "pipelines.features.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **threads, **memory, "PYTHONPATH": path},
            )
        assert self._process.stderr is not None
        threading.Thread(target=forward, args=(self._process.stderr, 2), daemon=True).start()
        self._channel = ours
        self._lock = threading.Lock()
        self._prepared: set[tuple[str, str]] = set()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def prepare(self, name: str, section: str) -> None:
        if (name, section) in self._prepared:
            return
        answer = self._ask({"do": "prepare", "name": name, "section": section}, patience_s=PREPARE_S)
        if answer.get("error") in ("Exception", "MemoryError", "StoreFailedError"):
            raise DataError(f"features.{name}: {answer['text']}")
        if "error" in answer:
            raise_error(answer, f"features.{name}")
        self._prepared.add((name, section))

    def fork(self, work: Work) -> _Decoder:
        ours, theirs = _blocking_pair()
        with theirs:
            asked = {
                "do": "fork",
                "name": work.name,
                "section": work.section,
                "media": work.media,
                "bytes": work.bytes,
            }
            answer = self._ask(asked, theirs)
        if "error" in answer:
            ours.close()
            raise_error(answer, f"features.{work.name}")
        return _Decoder(ours, work, partial(self._bury, answer["pid"]))

    def _bury(self, pid: int, kill: bool) -> _Failure:
        try:
            return _Failure(**self._ask({"do": "bury", "pid": pid, "kill": kill}))
        except EOFError:  # the nursery is gone, and its decoders with it
            return _Failure()

    def _ask(
        self, request: dict[str, Any], descriptor: socket.socket | None = None, patience_s: float = ANSWER_S
    ) -> dict[str, Any]:
        with self._lock:
            try:
                send(self._channel, request)
                if descriptor is not None:
                    socket.send_fds(self._channel, [b"\0"], [descriptor.fileno()])
                answer: dict[str, Any] = receive(self._channel, Patience(patience_s))[0]
            except (TimeoutError, EOFError, OSError) as error:
                # One that hangs is as good as gone; one that closed its socket may still be about to end, and
                # whoever asks next must not meet it again.
                self.stop()
                raise EOFError from error
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def _blocking_pair() -> tuple[socket.socket, socket.socket]:
    """Sockets that wait, though a library has set a default time limit for all: the other side would inherit that
    as sockets that never wait. Google's clients set one.
    """
    pair = socket.socketpair()
    for one in pair:
        one.settimeout(None)
    return pair


@dataclass
class _Decoder:
    channel: socket.socket
    work: Work
    end: Callable[[bool], _Failure]
    tracks: int = 0

    def bury(self, *, kill: bool) -> _Failure:
        self.channel.close()
        return self.end(kill)


class _Gate:
    """Lets many in together, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


def raise_error(answer: dict[str, Any], where: str) -> NoReturn:
    """Raise here what `nursery.error_as_json` caught there.

    Raises:
        ExcludedError, UsageError, DataError, ImportError: the error; any other is a track that has no feature.
    """
    text = answer["text"]
    match answer["error"]:
        case "ExcludedError":
            raise ExcludedError(Reason(answer["reason"]), text)
        case "UsageError":
            raise UsageError(text)
        case "DataError":
            raise DataError(text)
        case "ImportError":
            raise ImportError(text, name=answer["name"])
        case "StoreFailedError":  # which says nothing of the file
            raise ExcludedError(Reason.UNREADABLE, f"{where}: {text}")
    # Whatever a decoder stumbles on, it is one track.
    raise ExcludedError(Reason.DECODE_ERROR, f"{where}: {text}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_lock = threading.Lock()
_isolation: Isolation | None = None


def isolation() -> Isolation:
    """The one of this process."""
    global _isolation
    with _lock:
        if _isolation is None:
            _isolation = Isolation()
        return _isolation


def stop() -> None:
    """End all decoders of this process; the next `isolation()` is a new one."""
    global _isolation
    with _lock:
        found, _isolation = _isolation, None
    if found is not None:
        found.stop()


atexit.register(stop)
