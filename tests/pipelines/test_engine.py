"""Tasks on an engine: what is done is not done again, what fails is told, what hangs is ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult, PipelineRunner

from pipelines.engine import Engine, check_flags, check_runner, run
from pipelines.job_service import reason_of
from pipelines.progress import Reporter, counter
from pipelines.task_runner import forget_tasks, run_tasks
from pipelines.tasks import Task, TaskContext, TaskSet, run_one, write_specs
from schemas.errors import DataError, UsageError
from schemas.store import Store
from tests.conftest import Command


def write_number(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    path = f"done/{spec['n']}-{time.monotonic_ns()}.txt"
    context.out.write_text(path, str(spec["n"]))
    counter(context.label).advance()
    return {"square": spec["n"] ** 2}


def refuse_three(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    if spec["n"] == 3:
        raise UsageError("three is too many; give fewer")
    return write_number(context, spec)


def hang(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    time.sleep(30)
    return {}


def work(function: str, count: int = 5) -> TaskSet:
    tasks = [Task(f"{n:03d}", f"digest-{n}", {"n": n}) for n in range(count)]
    return TaskSet("work", f"{__name__}:{function}", tasks)


def quiet() -> Reporter:
    return Reporter(quiet=True)


def ran(out: Path) -> list[str]:
    return sorted(path.name.split("-")[0] for path in (out / "done").iterdir())


def test_every_task_runs_once_and_is_not_run_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    results = run_tasks(work("write_number"), store, Engine(workers=2), quiet())
    assert {key: value["square"] for key, value in results.items()} == {f"{n:03d}": n * n for n in range(5)}
    assert ran(tmp_path) == list("01234")
    again = run_tasks(work("write_number", 7), store, Engine(), quiet())
    assert len(again) == 7
    assert ran(tmp_path) == list("0123456")


def test_a_task_whose_digest_changed_runs_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    run_tasks(work("write_number", 2), store, Engine(), quiet())
    changed = TaskSet("work", f"{__name__}:write_number", [Task("000", "other", {"n": 0})])
    run_tasks(changed, store, Engine(), quiet())
    assert ran(tmp_path) == ["0", "0", "1"]


def test_a_users_mistake_in_a_worker_is_told_as_such_and_the_rest_is_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(UsageError, match="three is too many; give fewer"):
        run_tasks(work("refuse_three"), store, Engine(), quiet())
    assert set(ran(tmp_path)) == {"0", "1", "2", "4"}


def fail_while_a_file_is_there(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    if context.out.exists("broken"):
        raise DataError(f"{spec['n']} is broken")
    return write_number(context, spec)


def test_what_failed_before_is_tried_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_text("broken", "")
    with pytest.raises(DataError, match="is broken"):
        run_tasks(work("fail_while_a_file_is_there"), store, Engine(), quiet())
    store.remove("broken")
    results = run_tasks(work("fail_while_a_file_is_there"), store, Engine(), quiet())
    assert [results[key]["square"] for key in sorted(results)] == [0, 1, 4, 9, 16]


def crash(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("the moon is in the wrong house")


def test_an_engine_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"FnApiRunner failed.*moon is in the wrong house") as raised:
        run_tasks(work("crash"), Store(str(tmp_path)), Engine(), quiet())
    assert "\n" not in str(raised.value)


def test_a_run_in_which_nothing_moves_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DataError, match="nothing was finished"):
        run_tasks(work("hang", 1), Store(str(tmp_path)), Engine(stall_s=1.0), quiet())
    assert time.monotonic() - started < 20


def test_other_processes_cannot_see_memory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot see this store"):
        run_tasks(work("write_number"), Store("memory://tasks"), Engine(runner="PortableRunner"), quiet())


def test_beams_flags_pass_and_others_do_not() -> None:
    check_flags(["--direct_running_mode=multi_threading", "--temp_location=gs://b/t", "--region", "europe-west1"])
    for flag in ("--directrunning_mode=x", "--nonsense"):
        with pytest.raises(UsageError, match=flag.split("=")[0]):
            check_flags([flag])


HERE = ("--job_endpoint=embed", "--environment_type=LOOPBACK")


def test_a_portable_runner_gives_the_same_results(tmp_path: Path) -> None:
    engine = Engine("PortableRunner", 2, HERE)
    results = run_tasks(work("write_number"), Store(str(tmp_path)), engine, quiet())
    assert {key: value["square"] for key, value in results.items()} == {f"{n:03d}": n * n for n in range(5)}


def test_another_engine_in_which_nothing_moves_is_left_too(tmp_path: Path) -> None:
    started = time.monotonic()
    engine = Engine("PortableRunner", 1, HERE, stall_s=3.0)
    with pytest.raises(DataError, match=r"nothing was finished for 3 s \(--stall-timeout\)"):
        run_tasks(work("hang", 1), Store(str(tmp_path)), engine, quiet())
    assert time.monotonic() - started < 29


def test_a_job_service_that_does_not_answer_is_told(tmp_path: Path) -> None:
    engine = Engine("PortableRunner", 1, ("--job_endpoint=localhost:1", "--job_server_timeout=1"))
    with pytest.raises(UsageError, match="--job_endpoint localhost:1: no job service answers there"):
        run_tasks(work("write_number"), Store(str(tmp_path)), engine, quiet())


@pytest.mark.parametrize("name", ["--job_server_timeout", "--job-server-timeout"])
@pytest.mark.parametrize("apart", [True, False])
def test_the_time_that_a_job_service_has_is_given_in_either_spelling(
    tmp_path: Path, name: str, *, apart: bool
) -> None:
    given = (name, "1") if apart else (f"{name}=1",)
    engine = Engine("PortableRunner", 1, ("--job_endpoint=localhost:1", *given))
    with pytest.raises(UsageError, match=r"\(1 s were waited\)"):
        run_tasks(work("write_number"), Store(str(tmp_path)), engine, quiet())


def test_jobs_are_not_given_to_a_cluster_past_the_job_server(command: Command, tmp_path: Path) -> None:
    for runner, flag in (("FlinkRunner", "--flink_submit_uber_jar"), ("SparkRunner", "--spark_submit_uber_jar")):
        ran = command("build", "demo", "--out", tmp_path / "data", "--runner", runner, flag)
        assert ran.code == 2
        assert f"{flag}: jobs that no job server has taken cannot be ended; leave the flag out" in ran.err
        assert "Traceback" not in ran.err
    assert not (tmp_path / "data").exists()


class _Job(PipelineResult):  # type: ignore[misc]
    """A job that goes on until it is cancelled."""

    def __init__(self) -> None:
        super().__init__("RUNNING")
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()

    def wait_until_finish(self, duration: int | None = None) -> None:
        self.cancelled.wait(60)


_jobs: list[_Job] = []


class SlowToTake(PipelineRunner):  # type: ignore[misc]
    """An engine that is interrupted while it takes a job, which takes it two seconds."""

    def run_pipeline(self, pipeline: Any, options: Any) -> _Job:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(2)
        _jobs.append(_Job())
        return _jobs[-1]


def test_a_job_that_is_handed_in_when_its_build_is_interrupted_is_cancelled_too(tmp_path: Path) -> None:
    _jobs.clear()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background it is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            run_tasks(work("hang"), Store(str(tmp_path)), Engine(f"{__name__}.SlowToTake"), quiet())
    finally:
        signal.signal(signal.SIGINT, before)
    assert [job.cancelled.is_set() for job in _jobs] == [True]


INTERRUPTED = """
import signal, sys, threading, time
from pathlib import Path

import apache_beam as beam

from pipelines.engine import Engine, run
from pipelines.progress import counter

signal.signal(signal.SIGINT, signal.default_int_handler)
folder = sys.argv[1]


def wire(pipeline):
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    time.sleep(1)
    pipeline | beam.Create(["a"]) | beam.Map(lambda name: open(f"{folder}/{name}", "w").close())


engine = Engine("FnApiRunner", 2, ("--direct_running_mode=multi_processing",))
try:
    run(engine, wire, counter("late"), "late", lambda: 0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(4)  # a build ends its lease, and waits for what it loads
"""


def test_workers_that_begin_behind_an_interrupt_are_ended_and_work_at_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert (ended.returncode, ended.stdout) == (0, "interrupted\n"), ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_worker_pool_that_is_not_there_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = ("--environment_type=EXTERNAL", "--environment_config=localhost:1")
    engine = Engine("PortableRunner", 1, ("--job_endpoint=embed", *pool), stall_s=60)
    with pytest.raises(DataError, match=r"PortableRunner failed .*refused.*build again") as raised:
        run_tasks(work("write_number"), Store(str(tmp_path)), engine, quiet())
    assert "\n" not in str(raised.value)
    assert "Traceback" not in capsys.readouterr().err


def test_a_portable_runner_without_an_address_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --job_endpoint HOST:PORT"):
        run_tasks(work("write_number"), Store(str(tmp_path)), Engine("PortableRunner"), quiet())


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_server_that_ends_at_once_is_told_with_what_it_said(tmp_path: Path, code: int) -> None:
    jar, launcher = tmp_path / "server.jar", tmp_path / "java"
    jar.write_text("")
    launcher.write_text(f"#!/bin/sh\necho Error: this is no jar\nexit {code}\n")
    launcher.chmod(0o755)
    flags = (f"--flink_job_server_jar={jar}", f"--job_server_java_launcher={launcher}")
    with pytest.raises(UsageError, match=r"its job server ended at once .* it said: Error: this is no jar"):
        run_tasks(work("write_number"), Store(str(tmp_path)), Engine("FlinkRunner", 1, flags), quiet())


def test_files_of_engines_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for flags in (
        [f"--flink_job_server_jar={tmp_path}/no.jar"],
        ["--prism_location", f"{tmp_path}/prism"],
        [f"--prism_location={tmp_path}"],
    ):
        with pytest.raises(UsageError, match="there is no such file"):
            check_flags(flags)
    (tmp_path / "prism").write_text("")
    check_flags(["--prism_location", f"{tmp_path}/prism"])


def test_runners_are_known_by_name_in_any_case_and_one_that_loses_results_is_refused() -> None:
    assert check_runner("flinkrunner") == "FlinkRunner"
    assert check_runner("fnapirunner") == "FnApiRunner"
    for name in ("DaskRunner", "apache_beam.runners.dask.dask_runner.DaskRunner"):
        with pytest.raises(UsageError, match="drops side outputs without a word"):
            check_runner(name)


def test_what_is_finished_is_not_done_again_when_an_engine_gives_it_out_again(tmp_path: Path) -> None:
    store, tasks = Store(str(tmp_path)), work("write_number", 2)
    given = write_specs(tasks, tasks.tasks, store)
    for number in (0, 1, 1, 0):
        run_one(given, number, store, 1)
    assert ran(tmp_path) == ["0", "1"]


def end_the_stage(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    forget_tasks("work", context.out)
    return {}


def test_a_worker_that_ends_when_its_stage_is_over_leaves_nothing(tmp_path: Path) -> None:
    store, tasks = Store(str(tmp_path)), work("end_the_stage", 1)
    run_one(write_specs(tasks, tasks.tasks, store), 0, store, 1)
    assert not store.list()


DIES_ONCE = """
import os, signal, threading


def work(context, spec):
    if spec["n"] == 1 and not context.out.exists("done/died"):
        context.out.write_text("done/died", "")
        if spec["after_s"] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(spec["after_s"], os.kill, (os.getpid(), signal.SIGKILL)).start()
    return {"square": spec["n"] ** 2}
"""


@pytest.mark.parametrize("after_s", [0, 0.01])
def test_a_worker_process_that_dies_is_made_up_for_without_a_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, after_s: float
) -> None:
    """At once, or when its work is done and is being gathered."""
    (tmp_path / "dies_once.py").write_text(DIES_ONCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    store = Store(str(tmp_path / "out"))
    tasks = [Task(f"{n:03d}", f"digest-{n}", {"n": n, "after_s": after_s}) for n in range(2)]
    engine = Engine(workers=2, flags=["--direct_running_mode=multi_processing"])
    results = run_tasks(TaskSet("work", "dies_once:work", tasks), store, engine, quiet())
    assert {key: value["square"] for key, value in results.items()} == {"000": 0, "001": 1}
    assert store.exists("done/died")
    assert "Traceback" not in capfd.readouterr().err


def test_a_runner_that_fails_for_a_worker_that_ended_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own words, of a kill while it waited for what the worker had finished."""
    run_pipeline, calls = FnApiRunner.run_pipeline, []

    def fails_once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise RuntimeError("Channel closed prematurely.")
        return run_pipeline(*args)

    monkeypatch.setattr(FnApiRunner, "run_pipeline", fails_once)
    (tmp_path / "dies_once.py").write_text(DIES_ONCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tasks = TaskSet("work", "dies_once:work", [Task("000", "digest", {"n": 0})])
    engine = Engine(flags=["--direct_running_mode=multi_processing"])
    assert run_tasks(tasks, Store(str(tmp_path / "out")), engine, quiet())["000"]["square"] == 0
    assert len(calls) == 2


def test_the_innermost_cause_is_told() -> None:
    error = RuntimeError(
        "Pipeline failed in state FAILED: java.lang.Exception\n\tat a.b(C.java:1)\n"
        "Caused by: java.io.IOException: Connection refused\n\tat d.e(F.java:2)\n\t... 5 more"
    )
    assert reason_of(error) == "java.io.IOException: Connection refused"
    assert reason_of(RuntimeError("one\n  two  \n")) == "two"
    assert reason_of(RuntimeError("")) == "it did not say why"
    call = '<_InactiveRpcError of RPC that ended with:\n\tstatus = 14\n\tdetails = "Connection refused"\n>'
    assert reason_of(RuntimeError(call)) == "Connection refused"


class _HungUpError(Exception):
    def __str__(self) -> str:
        return "<_MultiThreadedRendezvous of RPC that terminated with:\n\tstatus = StatusCode.CANCELLED\n>"


@pytest.mark.parametrize(
    ("thread", "error", "told"),
    [
        ("run_worker_1-1", _HungUpError(), False),
        ("read_grpc_client_inputs", _HungUpError(), False),
        ("run_worker_1-1", ValueError("of ours"), True),
        ("another", _HungUpError(), True),
    ],
)
def test_a_job_server_that_hangs_up_behind_a_job_is_no_news(
    tmp_path: Path, thread: str, error: Exception, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda each: heard.append(each.thread.name))

    def wire(pipeline: Any) -> None:
        pipeline | beam.Create([1])

    def fail() -> None:
        raise error

    elsewhere = Engine(workers=2, flags=("--direct_running_mode=multi_processing",))
    with quiet().counting("work", 1) as progress:
        run(elsewhere, wire, progress, "work", lambda: 1)
    late = threading.Thread(target=fail, name=thread)
    late.start()
    late.join()
    assert heard == [thread] * told
