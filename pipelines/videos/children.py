"""Child processes that do what may hang, die or eat memory; each loss costs one call and not the run."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, cast

from schemas.reasons import Reason

# What its libraries map, and never touch most of, is counted too.
LIBRARIES_BYTES = 2 << 30
MOST_BYTES = LIBRARIES_BYTES + (2 << 30)


class ChildError(Exception):
    """A call that came to no end: how the child died, or that it was ended for taking too long.

    Attributes:
        reason: whose fault it was; DECODE_ERROR for what the function itself raised.
    """

    def __init__(self, detail: str, reason: Reason = Reason.DECODER_DIED) -> None:
        super().__init__(detail)
        self.reason = reason


class GivenUpError(Exception):
    """A call whose result nobody waits for any more: the build is ending."""


class _Child:
    """One process."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        # The package is found there as it is here, however this process came to find it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-m", "pipelines.videos.child", str(most_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def call(self, line: bytes, limit_s: float) -> Mapping[str, Any]:
        if self._process.stdin is None or self._process.stdout is None:
            raise ChildError("it has no pipes")
        deadline = time.monotonic() + limit_s
        answer = bytearray()
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            while not answer.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                    self.end()
                    raise ChildError(f"no end within {limit_s:g} s", Reason.TIMED_OUT)
                part = os.read(self._process.stdout.fileno(), 1 << 20)
                if not part:
                    break
                answer += part
        except BrokenPipeError:
            answer.clear()
        if not answer.endswith(b"\n"):
            raise self._death()
        return cast(Mapping[str, Any], json.loads(answer))

    def _death(self) -> ChildError:
        self.end()
        code = self._process.returncode
        if code is not None and code < 0:
            # The system sends this one when its memory runs out.
            reason = Reason.OUT_OF_MEMORY if -code == signal.SIGKILL else Reason.DECODER_DIED
            return ChildError(f"its process was ended by {_signal_name(-code)}", reason)
        return ChildError(f"its process ended with {code}")

    def kill(self) -> None:
        """End it from another thread than the one that waits for its answer."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it, and whatever it started, now."""
        if self._process.poll() is None:
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Children:
    """Processes that wait for calls: as many as calls were made side by side. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: list[_Child] = []
        self._given_up = False

    def call(self, function: str, request: Any, limit_s: float, most_bytes: int = MOST_BYTES) -> Any:
        """What `package.module:name` returns for a request; both are JSON.

        Args:
            most_bytes: of memory that the child may address.

        Raises:
            ChildError: it took longer than `limit_s`, died, or raised.
            GivenUpError: see `give_up`.
        """
        with self._lock:
            if self._given_up:
                raise GivenUpError
            alike = [child for child in self._idle if child.most_bytes == most_bytes]
            child = alike[-1] if alike else _Child(most_bytes)
            if alike:
                self._idle.remove(child)
            self._busy.append(child)
        line = json.dumps({"function": function, "request": request}).encode() + b"\n"
        try:
            answer = child.call(line, limit_s)
        except BaseException:
            with self._lock:
                self._busy.remove(child)
            child.end()
            if self._given_up:  # how it ended says nothing of what it was given
                raise GivenUpError from None
            raise
        with self._lock:
            self._busy.remove(child)
            self._idle.append(child)
        if "error" in answer:
            told = str(answer["error"])
            memory = told.startswith("MemoryError")
            raise ChildError(told, Reason.OUT_OF_MEMORY if memory else Reason.DECODE_ERROR)
        return answer["result"]

    def stop(self) -> None:
        """End those that are at work, now; who waits for their answers gets a `ChildError`."""
        with self._lock:
            for child in self._busy:
                child.kill()

    def give_up(self) -> None:
        """End those that are at work, now; this call of theirs and every other one raises, until `go_on`."""
        with self._lock:
            self._given_up = True
        self.stop()

    def go_on(self) -> None:
        """Take calls again."""
        with self._lock:
            self._given_up = False

    def end(self) -> None:
        """End those that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


CHILDREN = Children()
atexit.register(CHILDREN.end)
