"""How Beam is asked to run: the runner by its full name, our worker count, Beam's own flags passed through."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.dataflow import LOOK_EVERY_S, is_dataflow, submitted
from pipelines.job_service import cancel, reason_of, require_files, require_job_server, runner_of
from pipelines.progress import Counter
from pipelines.watch import IdleClock
from pipelines.worker_processes import WAITING_THREAD, WorkerProcesses
from schemas.errors import DataError, TrackloreError, UsageError, suggest

if TYPE_CHECKING:
    import apache_beam as beam

# DirectRunner would first look for another engine to download; the default never varies by machine.
DEFAULT_RUNNER = "FnApiRunner"
LOCAL_RUNNERS = frozenset({"FnApiRunner", "BundleBasedDirectRunner", "InProcessRunner"})
TRACK_TIMEOUT_S = 120.0
TRACK_BYTES = 2 << 30
STALL_S = 1800.0
# Of workers elsewhere only whole shards are seen, and one of CLIP takes four cores 3.7 hours, and one core fifteen.
STALL_ELSEWHERE_S = 86_400.0
# Runners that take their parallelism from a flag of that name; it follows --workers unless it is given.
_PARALLEL = frozenset({"FlinkRunner", "PortableRunner", "SparkRunner"})
_UNFIT = {
    "daskrunner": "Beam's Dask runner drops side outputs without a word, so results would be lost; choose another",
}
_OURS = frozenset({"runner", "direct_num_workers"})
_LOOK_EVERY_S = 2.0
# Looking at a store may take so much of the time, and no more: listing a large one is slow.
_LOOK_SHARE = 20
_BEAM = "apache_beam"
# These modules of Beam's print tracebacks of a worker that ended.
_TELL_OF_DEATHS = (
    "apache_beam.runners.worker.data_plane",
    "apache_beam.runners.portability.fn_api_runner.worker_handlers",
)
# What the runner itself may end in when a worker that it talks to has gone.
_HUNG_UP_ON_US = "Channel closed prematurely"
# As Beam calls the threads that talk to its worker processes here.
_TALKING_THREADS = frozenset({"beam_control_read", "read_grpc_client_inputs"})
_HUNG_UP = "StatusCode.CANCELLED"
_LAST_WORDS_S = 2.0
_HANDED_IN_S = 30.0


class WorkerDiedError(DataError):
    """A worker process of an engine ended before its work did."""


# These say of themselves what is wrong.
_TOLD = (TrackloreError, ImportError, KeyboardInterrupt)


@dataclass(frozen=True)
class Engine:
    """The engine that a build was given.

    Attributes:
        runner: Beam's name of the runner.
        workers: on the local runner the threads that work on one shard together, which balances better than a
            bundle a worker does; on others the number of workers asked for.
        flags: Beam's own flags as typed.
        stall_s: a run in which nothing is finished for so long is ended. Of workers elsewhere only finished tasks
            are seen, and one may take hours: there the limit holds where a person gives one.
        track_timeout_s: seconds in which one track's file is to be decoded and its feature computed.
        track_bytes: memory that this may take.
        memory_bytes: that all processes of the build may take together; None for no limit.
    """

    runner: str = DEFAULT_RUNNER
    workers: int = 1
    flags: Sequence[str] = ()
    stall_s: float = STALL_S
    track_timeout_s: float = TRACK_TIMEOUT_S
    track_bytes: int = TRACK_BYTES
    memory_bytes: int | None = None

    @property
    def is_local(self) -> bool:
        """Whether the work is done in this process."""
        return self.runner in LOCAL_RUNNERS and not any("multi_processing" in flag for flag in self.flags)

    @property
    def has_own_workers(self) -> bool:
        """Whether the work is done in processes that the runner starts here."""
        return self.runner in LOCAL_RUNNERS and not self.is_local

    @property
    def threads(self) -> int:
        """Threads that work on one task."""
        return self.workers if self.is_local else 1


def quiet_beam() -> None:
    """Beam tells at import which optional clients it has not found; that is no concern of a user's."""
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger(_BEAM).setLevel(logging.NOTSET)


def silence_beam() -> None:
    """Of a run that was ended, Beam's threads only tell that they were."""
    logging.getLogger(_BEAM).setLevel(logging.CRITICAL + 1)


def _hang_ups_are_no_news() -> None:
    """A worker that an engine keeps in this process may still listen when the job server hangs up behind a job, and
    its threads would print tracebacks then, also later on. What became of the job, its outcome tells.
    """
    before = threading.excepthook
    if getattr(before, "knows_hang_ups", False):
        return

    def hook(told: threading.ExceptHookArgs) -> None:
        name = told.thread.name if told.thread is not None else ""
        talks = name in _TALKING_THREADS or name.startswith(WAITING_THREAD)
        if not (talks and _HUNG_UP in str(told.exc_value)):
            before(told)

    hook.knows_hang_ups = True  # type: ignore[attr-defined]
    threading.excepthook = hook


def check_runner(runner: str) -> str:
    """The name of a runner as Beam spells it.

    Raises:
        UsageError: Beam does not know it (with the names that it does know), or it is known to lose results.
    """
    unfit = _UNFIT.get(runner.rpartition(".")[2].lower())
    if unfit is not None:
        raise UsageError(f"--runner {runner}: {unfit}")
    if runner in LOCAL_RUNNERS or "." in runner:
        return runner
    quiet_beam()
    from apache_beam.options.pipeline_options import StandardOptions

    known = {name.lower(): name for name in (*StandardOptions.KNOWN_RUNNER_NAMES, DEFAULT_RUNNER)}
    if runner.lower() not in known:
        raise UsageError(f"--runner {runner}: Beam has no such runner; known: {', '.join(sorted(known.values()))}")
    return str(known[runner.lower()])


def check_flags(flags: Sequence[str]) -> None:
    """Refuse flags that Beam's parser does not know; Beam itself only warns.

    Raises:
        UsageError: naming the first such flag.
    """
    if not flags:
        return
    require_files(flags)
    require_job_server(flags)
    quiet_beam()
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    parser = _BeamArgumentParser(allow_abbrev=False)
    for cls in {str(cls): cls for cls in PipelineOptions.__subclasses__()}.values():
        cls._add_argparse_args(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    try:
        _, unknown = parser.parse_known_args(list(flags))
    except SystemExit as error:
        raise UsageError(f"{' '.join(flags)}: Beam cannot read these flags; see --help-beam") from error
    for flag in unknown:
        name = flag.split("=")[0]
        if name.removeprefix("--") in _OURS:
            continue
        raise UsageError(f"{flag}: neither Tracklore nor Beam knows this flag{suggest(name, known)}")


def options_of(engine: Engine) -> Any:
    """Beam's options for an engine."""
    from apache_beam.options.pipeline_options import PipelineOptions

    flags = [f"--runner={engine.runner}", "--no_save_main_session", *engine.flags]
    if not engine.is_local and not any(flag.startswith("--num_workers") for flag in engine.flags):
        flags.append(f"--num_workers={engine.workers}")
    elif engine.has_own_workers:
        flags.append(f"--direct_num_workers={engine.workers}")
    if engine.runner in _PARALLEL and not any(flag.startswith("--parallelism") for flag in engine.flags):
        flags.append(f"--parallelism={engine.workers}")
    return PipelineOptions(flags)


def run(
    engine: Engine,
    wire: Callable[[beam.Pipeline], None],
    progress: Counter,
    label: str,
    seen_outside: Callable[[], int],
    *,
    flags: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    begun: Callable[[], None] = lambda: None,
    require_allowed: Callable[[], None] = lambda: None,
) -> None:
    """Build a pipeline with `wire`, run it to its end, and end it when nothing has moved for `stall_s`.

    Args:
        seen_outside: counts items from what lies on disk, where workers in other processes count unseen.
        flags: of this run alone, behind the engine's.
        say: tells a person of a job that was submitted.
        begun: called when the engine has taken the job; what it raises changes nothing.
        require_allowed: called again and again; what it raises ends the run.

    Raises:
        WorkerDiedError: a worker process ended; the engine would wait for it without end.
        DataError: the engine failed, made no progress, or took more memory than the build may.
    """
    quiet_beam()
    import apache_beam as beam

    if engine.is_local:
        silence_beam()  # what goes wrong is raised below, and told in one line
    else:
        _hang_ups_are_no_news()
    outcome: list[BaseException] = []
    running: list[Any] = []
    taken = threading.Event()
    options = options_of(replace(engine, flags=(*engine.flags, *flags)))
    runner = runner_of(options, engine.runner, engine.flags)
    workers = WorkerProcesses(runner) if engine.has_own_workers else None

    def work() -> None:
        try:
            pipeline = beam.Pipeline(runner=runner, options=options)
            wire(pipeline)
            running.append(pipeline.run())
            taken.set()
            if is_dataflow(engine.runner):
                say(submitted(running[0], options, label))
            with suppress(Exception):
                begun()
            running[0].wait_until_finish()
        except BaseException as error:
            outcome.append(error)
        finally:
            taken.set()

    # A worker that dies can leave the runner waiting for ever, so it waits in a thread that we can leave.
    thread = threading.Thread(target=work, name=f"beam-{label}", daemon=True)
    with _deaths_noticed(workers, thread) as died, _ended_when_left(running, taken, engine):
        thread.start()
        idle, looked = IdleClock(), time.monotonic()
        often = LOOK_EVERY_S if is_dataflow(engine.runner) else _LOOK_EVERY_S
        every = often
        while thread.is_alive():
            thread.join(0.2)
            require_allowed()
            if died.is_set():
                thread.join(_LAST_WORDS_S)
                if outcome or not thread.is_alive():
                    break
                raise WorkerDiedError(_of_a_death(label))
            if time.monotonic() - looked > every:
                looked = time.monotonic()
                if not engine.is_local:
                    with suppress(Exception):  # a store that fails now may answer when it is looked at again
                        progress.done = max(progress.done, seen_outside())
                    every = max(often, _LOOK_SHARE * (time.monotonic() - looked))
            if idle.look(progress.done) > engine.stall_s:
                raise DataError(
                    f"{label}: nothing was finished for {engine.stall_s:g} s (--stall-timeout) after "
                    f"{progress.done} items, so the run was ended; build again to go on from there"
                )
        if outcome and not isinstance(outcome[0], _TOLD) and _is_of_a_death(outcome[0], engine, died):
            raise WorkerDiedError(_of_a_death(label)) from outcome[0]
    if not outcome:
        return
    error = outcome[0]
    if isinstance(error, _TOLD):
        raise error
    told = f"{type(error).__name__}: {reason_of(error)}"
    raise DataError(f"{label}: {engine.runner} failed ({told}); build again to go on from there") from error


def _of_a_death(label: str) -> str:
    return f"{label}: a worker process ended in mid-run; build again to go on from there"


def _is_of_a_death(error: BaseException, engine: Engine, died: threading.Event) -> bool:
    """Whether a runner failed because a worker of its own ended; it may notice before those who wait for it do."""
    return engine.has_own_workers and (_HUNG_UP_ON_US in str(error) or died.wait(_LAST_WORDS_S))


@contextmanager
def _ended_when_left(running: list[Any], taken: threading.Event, engine: Engine) -> Iterator[None]:
    """When the block raises, the job that is in `running` is ended where it runs, too; Dataflow's goes on when a
    person stops waiting for it.

    Args:
        taken: set when the engine has taken the job, or has failed to; one that is just handed in is waited for.
    """
    try:
        yield
    except BaseException as error:
        if not (is_dataflow(engine.runner) and isinstance(error, KeyboardInterrupt)):
            silence_beam()
            # A local runner gives its job when it is done, and it ends with this process.
            taken.wait(0 if engine.runner in LOCAL_RUNNERS else _HANDED_IN_S)
            if running:
                cancel(running[0])
        raise


@contextmanager
def _deaths_noticed(workers: WorkerProcesses | None, runs: threading.Thread) -> Iterator[threading.Event]:
    """Set when Beam's threads tell, while the block runs, of a worker process of this machine that ended before its
    work did: Beam itself prints tracebacks and waits on. When the block raises, the other workers are ended.

    Args:
        runs: the thread in which the runner works.
    """
    died = threading.Event()
    if workers is None:
        yield died
        return
    before = getattr(threading.excepthook, "before", threading.excepthook)

    def hook(told: threading.ExceptHookArgs) -> None:
        name = told.thread.name if told.thread is not None else ""
        if name == WAITING_THREAD:
            died.set()
        elif name not in _TALKING_THREADS:
            before(told)

    hook.before = before  # type: ignore[attr-defined]
    threading.excepthook = hook
    for module in _TELL_OF_DEATHS:
        logging.getLogger(module).setLevel(logging.CRITICAL + 1)
    try:
        yield died
    except BaseException:
        silence_beam()
        workers.end(runs)
        raise  # with the hook where it is: the threads that talk to the workers notice later
    threading.excepthook = before
