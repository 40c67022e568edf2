"""Processes of engines: started on free ports, waited for within limits, logged aside, and ended with the test."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
ENGINES = ROOT / ".engines"
PRISM = ENGINES / "prism"
JARS = ENGINES / "flink"
JOB_SERVER_JAR = JARS / "tracklore-flink-job-server.jar"
WORKER_PYTHON = ENGINES / "worker" / "bin" / "python"
LOGS = ENGINES / "logs"
FLINK_VERSION = os.environ.get("FLINK_VERSION") or "1.19"

UP_S = 180.0
_END_S = 10.0
_DEATH_SIGNAL = 1


def _end_with_this_process() -> None:
    """A suite that is killed leaves no engine behind."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


class Service:
    """A process that goes on until it is ended; what it says goes to a file."""

    def __init__(self, name: str, words: Sequence[str | Path], logs: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = name, logs / f"{name}.log"
        logs.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in words],
                cwd=logs,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_this_process,
            )

    def wait_until(self, true: Callable[[], Any], seconds: float = UP_S) -> None:
        """Wait until it comes true.

        Raises:
            AssertionError: the process ended, or it never does.
        """
        until = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, f"{self.name} ended at once: {self.tail()}"
            assert time.monotonic() < until, f"{self.name} was not up after {seconds:g} s: {self.tail()}"
            time.sleep(0.1)

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-1500:]

    def family(self) -> list[psutil.Process]:
        """The process and all that it started."""
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.Error:
            return []

    def kill(self) -> None:
        """SIGKILL, for the process itself alone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """End it and all that it started."""
        family = self.family()
        for process in family:
            try:
                process.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(family, _END_S)
        self.process.wait(_END_S)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def environment(**more: str) -> dict[str, str]:
    """This process's, without what would lead another to this one's code."""
    own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**own, **more}


def workers_environment(home: Path, **more: str) -> dict[str, str]:
    """Of a worker pool: Beam's pool starts its workers as `python`, so that one comes first."""
    path = f"{WORKER_PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return environment(PATH=path, XDG_CACHE_HOME=str(home / "cache"), TMPDIR=str(home / "tmp"), **more)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as place:
        place.bind((host, 0))
        return int(place.getsockname()[1])


def listens(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    """End it when the block ends."""
    try:
        yield service
    finally:
        service.end()


@contextmanager
def job_service(logs: Path, home: Path) -> Iterator[int]:
    """Beam's own job service in a process of this environment; its port."""
    told = logs / "port"
    words = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    words += ["-p", "0", "--port_file", str(told), "--staging_dir", str(home / "staged")]
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    told.unlink(missing_ok=True)
    with serving(Service("job-service", words, logs, environment(TMPDIR=str(home / "tmp")))) as service:
        service.wait_until(told.exists)
        yield int(told.read_text())


@contextmanager
def worker_pool(logs: Path, home: Path, **more: str) -> Iterator[tuple[Service, int]]:
    """Beam's worker pool in the workers' own environment, and its port."""
    port = free_port()
    words = [str(WORKER_PYTHON), "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with serving(Service("worker-pool", words, logs, workers_environment(home, **more))) as pool:
        pool.wait_until(lambda: listens(port))
        yield pool, port


POOL_NAME = "workers"
_OPENED = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "java.text", "java.time", "java.util",
        "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch",
    )
]  # fmt: skip
_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASKS = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
SLOTS = 2
_MEMORY_MB = {
    **dict.fromkeys(("framework.heap.size", "framework.off-heap.size", "task.heap.size"), 128),
    **dict.fromkeys(("task.off-heap.size", "network.min", "network.max", "managed.size"), 64),
    **dict.fromkeys(("jvm-metaspace.size", "jvm-overhead.min", "jvm-overhead.max"), 192),
}


@dataclass(frozen=True)
class Machine:
    """What stands for a machine of a cluster: a TaskManager, and the worker pool that it knows as `POOL_NAME`."""

    tasks: Service
    pool: Service

    def decoding(self) -> list[psutil.Process]:
        """The decoders at work in its pool."""
        found = []
        for process in self.pool.family():
            try:
                if process.ppid() != self.pool.process.pid and "pipelines.features.nursery" in process.cmdline():
                    found += process.children()
            except psutil.Error:
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        """The worker processes of its pool that live, and theirs."""
        return [process for process in self.pool.family()[1:] if _lives(process)]


@dataclass(frozen=True)
class Cluster:
    """A standalone cluster of Flink: one JobManager, two machines.

    Attributes:
        master: address of its REST service.
        pool_port: where each machine's pool listens, on an address of its own.
    """

    master: str
    pool_port: int
    machines: tuple[Machine, ...]

    def asked(self, path: str) -> Any:
        """What its REST service answers, parsed."""
        with urllib.request.urlopen(f"http://{self.master}{path}", timeout=10) as answer:
            return json.load(answer)


@contextmanager
def cluster(logs: Path, home: Path) -> Iterator[Cluster]:
    """Start a cluster on loopback; all of it is ended with the block."""
    rest, rpc, blob, pool_port = (free_port() for _ in range(4))
    settings = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": "127.0.0.1",
        "jobmanager.memory.heap.size": "320m",
        "blob.server.port": blob,
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": rest,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.numberOfTaskSlots": SLOTS,
        "taskmanager.cpu.cores": "1.0",
        # What Flink's own script would work out before it starts a TaskManager.
        **{f"taskmanager.memory.{key}": f"{size}m" for key, size in _MEMORY_MB.items()},
        "cluster.evenly-spread-out-slots": "true",
        "restart-strategy": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 10,
        "restart-strategy.fixed-delay.delay": "1 s",
        # A dead TaskManager is missed soon; a slow machine's is not taken for dead.
        "heartbeat.interval": 2000,
        "heartbeat.timeout": 30000,
        # Beam's classes are those that the cluster has already loaded.
        "classloader.resolve-order": "parent-first",
    }
    with ExitStack() as stack:

        def java(name: str, main: str, *more: str) -> Service:
            place = home / name
            (place / "tmp").mkdir(parents=True)
            (place / "conf").mkdir()
            own = {**settings, "io.tmp.dirs": str(place / "tmp")}
            lines = [f"{key}: {value}\n" for key, value in own.items()]
            (place / "conf" / "flink-conf.yaml").write_text("".join(lines))
            words = ["java", "-Xmx384m", *_OPENED, f"-Djava.io.tmpdir={place / 'tmp'}", *more]
            words += ["-cp", f"{JARS}/*", main, "--configDir", str(place / "conf")]
            return stack.enter_context(serving(Service(name, words, logs, environment())))

        manager = java("job-manager", _MANAGER)
        machines = []
        for number, address in enumerate(("127.0.0.2", "127.0.0.3")):
            # Each machine finds its own pool under one name, as it would on a port of its own in a real cluster.
            hosts = home / f"hosts-{number}"
            name = socket.gethostname()
            hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 {name}\n{address} {POOL_NAME}\n")
            tasks = java(f"task-manager-{number}", _TASKS, f"-Djdk.net.hosts.file={hosts}")
            words = [str(WORKER_PYTHON), str(ROOT / "tests/engines/pool_at.py"), address, str(pool_port)]
            pool_home = home / f"pool-{number}"
            pool = Service(f"worker-pool-{number}", words, logs, workers_environment(pool_home))
            machines.append(Machine(tasks, stack.enter_context(serving(pool))))
            pool.wait_until(lambda address=address: listens(pool_port, address))  # type: ignore[misc]
        found = Cluster(f"127.0.0.1:{rest}", pool_port, tuple(machines))

        def complete() -> bool:
            for machine in machines:
                assert machine.tasks.process.poll() is None, f"{machine.tasks.name} ended: {machine.tasks.tail()}"
            try:
                return bool(found.asked("/overview")["taskmanagers"] == len(machines))
            except OSError:
                return False

        manager.wait_until(complete)
        yield found
