"""Job services: what Beam's portable runners hand their jobs to.

One that Beam starts by itself (Flink's job server, Prism) is started once and serves every stage of the build: it
takes seconds to come up. One that is given by its address must answer within a stated time. Beam would start it in
the thread that runs the pipeline, where it may not take signals, and would wait for either without end.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.temporary import temporary_folder
from schemas.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.runners.runner import PipelineRunner

REACH_S = 30.0
START_S = 180.0
_CANCEL_S = 15.0
_END_S = 5.0
_LOOK_EVERY_S = 0.1
_LINES = 40
_LONGEST = 500
# The line of an error of gRPC's that says what went wrong.
_DETAILS = re.compile(r'details = "(.*)"')
# The system kills what it runs when this process is gone, however it went.
_WHILE_WE_LIVE = "import ctypes,os,sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"
_FILES = ("flink_job_server_jar", "spark_job_server_jar", "prism_location")
_NO_SERVER = ("flink_submit_uber_jar", "spark_submit_uber_jar")
# What a line of a log begins with before it says anything: a time, a thread, a level, a class.
_HEAD = re.compile(r"^[\d/:., -]*(\[[^\]]*\]\s*)?((ERROR|WARN|INFO|SEVERE)\s+\S+\s+-\s+)?")

_started: dict[tuple[str, ...], Any] = {}


class _Process:
    """A job server that was started here, with the last lines that it wrote. It ends with this process."""

    def __init__(self, command: Sequence[str]) -> None:
        self.lines: deque[str] = deque(maxlen=_LINES)
        self._process = subprocess.Popen(  # noqa: S603 - Beam's own command
            [sys.executable, "-ISc", _WHILE_WE_LIVE, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C would end it before it could end the job
        )
        atexit.register(self.end)
        self._reader = threading.Thread(target=self._read, name="job-server", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                self.lines.append(line.decode("utf-8", "replace").strip())

    def wait_for(self, host: str, port: int) -> str:
        """Wait until it listens; return why it does not, or nothing."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            code = self._process.poll()
            if code is not None:
                self._reader.join(_END_S)
                return f"ended at once with exit code {code}{self._last()}"
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
                return ""
            time.sleep(_LOOK_EVERY_S)
        self.end()
        return f"was not up after {START_S:g} s{self._last()}"

    def _last(self) -> str:
        return f"; it said: {self.lines[-1][:300]}" if self.lines else ""

    def end(self) -> None:
        """End it; one that does not hear is killed."""
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()


def require_files(flags: Sequence[str]) -> None:
    """Refuse flags that name a file of an engine's which is not there: Beam would look for it on the network.

    Raises:
        UsageError: naming the flag.
    """
    words = [part for flag in flags for part in flag.split("=", 1)]
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word.removeprefix("--") not in _FILES or not word.startswith("--") or "://" in value:
            continue
        if not Path(value).is_file():
            raise UsageError(f"{word} {value}: there is no such file")


def require_job_server(flags: Sequence[str]) -> None:
    """Refuse flags that have Beam give a cluster its jobs without a job server: it could not end them, and would
    look for the cluster in vain from the second one on.

    Raises:
        UsageError: naming the flag.
    """
    for flag in flags:
        if flag.partition("=")[0].removeprefix("--") in _NO_SERVER:
            raise UsageError(f"{flag}: jobs that no job server has taken cannot be ended; leave the flag out")


def runner_of(options: Any, name: str, flags: Sequence[str]) -> PipelineRunner:
    """The runner of that name, its job service started or found to answer. To be called from the main thread.

    Args:
        options: Beam's, of the build.
        name: of the runner, as Beam knows it.
        flags: of the build; the same ones get the same job service.

    Raises:
        UsageError: no job service answers at the address, or none can be started.
    """
    from apache_beam.options.pipeline_options import PortableOptions
    from apache_beam.runners.portability.portable_runner import PortableRunner
    from apache_beam.runners.runner import create_runner

    runner = create_runner(name)
    if not isinstance(runner, PortableRunner):
        return runner
    # What a job service tells of a failure is a traceback; the line that says most is told when the job has ended.
    for logger in (logging.getLogger(), logging.getLogger("apache_beam")):
        logger.setLevel(logging.CRITICAL + 1)
    portable = options.view_as(PortableOptions)
    endpoint = portable.job_endpoint
    if endpoint == "embed":
        return runner
    if endpoint:
        given = any(re.match("--job[_-]server[_-]timeout(=|$)", flag) for flag in flags)
        _require_answer(endpoint, float(portable.job_server_timeout) if given else REACH_S)
        return runner
    key = (name, *flags)
    if key not in _started:
        _started[key] = _start(runner, options, name)
    server = _started[key]
    runner.default_job_server = lambda _: server
    return runner


def _require_answer(endpoint: str, seconds: float) -> None:
    import grpc

    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=seconds)
        except grpc.FutureTimeoutError:
            raise UsageError(
                f"--job_endpoint {endpoint}: no job service answers there ({seconds:g} s were waited); start one, "
                "or give the address of another"
            ) from None


def _start(runner: Any, options: Any, name: str) -> Any:
    from apache_beam.runners.portability.job_server import ExternalJobServer, SubprocessJobServer

    try:
        outer = runner.default_job_server(options)
    except NotImplementedError as error:
        raise UsageError(f"--runner {name}: give --job_endpoint HOST:PORT, where jobs are handed in") from error
    # Beam's wrapper takes Ctrl-C for itself; what it wraps starts the process anew for each job.
    server = getattr(outer, "_job_server", outer)
    if not isinstance(server, SubprocessJobServer):
        return server
    kept = contextlib.ExitStack()
    atexit.register(kept.close)  # every stage of the build is served from it
    server._local_temp_root = str(kept.enter_context(temporary_folder()))
    try:
        command, endpoint = server.subprocess_cmd_and_endpoint()
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"--runner {name}: its job server cannot be had ({reason_of(error)})") from error
    if shutil.which(command[0]) is None:
        raise UsageError(f"--runner {name}: its job server is run by {command[0]!r}, which is not on this machine")
    host, _, port = endpoint.rpartition(":")
    why = _Process([str(word) for word in command]).wait_for(host, int(port))
    if why:
        raise UsageError(f"--runner {name}: its job server {why}")
    return ExternalJobServer(endpoint, START_S)


def _quietly(call: Callable[[], Any]) -> None:
    with contextlib.suppress(Exception):
        call()


def cancel(result: Any) -> None:
    """Tell the engine to end a job that nobody waits for any more; it is given some seconds to hear of it."""
    thread = threading.Thread(target=_quietly, args=(result.cancel,), name="cancel", daemon=True)
    thread.start()
    thread.join(_CANCEL_S)


def reason_of(error: BaseException) -> str:
    """The line of an engine's error that says most: the innermost cause, where there are causes."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    calls = [found[1] for line in lines if (found := _DETAILS.fullmatch(line))]
    others = [line for line in lines if re.search(r"\w", line) and not line.startswith("at ")]
    said = (causes[-1:] or calls[-1:] or others[-1:] or ["it did not say why"])[0]
    return _HEAD.sub("", said)[:_LONGEST]
