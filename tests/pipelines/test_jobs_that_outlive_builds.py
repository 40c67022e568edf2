"""A job that goes on when its build is gone: the next build is made as if there were none."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

import pipelines.engine
import pipelines.features.stage
import pipelines.tags.stage
import pipelines.task_runner
from pipelines.engine import Engine
from pipelines.features.shard_task import write_shard
from pipelines.progress import Reporter
from pipelines.tags.stage import count_unit
from pipelines.task_runner import forget_tasks, run_tasks
from pipelines.tasks import NotWantedError, Task, TaskContext, TaskSet, result_of, run_one, write_specs
from schemas.errors import DataError, UsageError
from schemas.store import TEMPORARY_PREFIX, Store
from tests.conftest import Command

WRITE = f"{__name__}:write"


def write(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    made = f"{context.shared['setting']} {spec['n']}"
    context.out.write_text(f"made/{spec['n']}", made, context.require_wanted)
    return {"made": made, "path": f"made/{spec['n']}"}


def is_as_told(out: Store, result: dict[str, Any]) -> bool:
    path = result["path"]
    return out.exists(path) and out.read_text(path) == result["made"]


def work(setting: str, numbers: Sequence[int] = range(5), function: str = WRITE) -> TaskSet:
    tasks = [Task(f"{n:03d}", f"{setting}-{n}", {"n": n}) for n in numbers]
    return TaskSet("work", function, tasks, {"setting": setting}, stands=f"{__name__}:is_as_told")


def run(tasks: TaskSet, out: Store, engine: Engine | None = None) -> dict[str, str]:
    results = run_tasks(tasks, out, engine or Engine(), Reporter(quiet=True))
    return {key: result["made"] for key, result in results.items()}


@pytest.fixture
def out(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "data"))


def test_a_job_goes_on_with_its_own_tasks_when_its_build_is_started_again(out: Store) -> None:
    tasks = work("a")
    job = write_specs(tasks, tasks.tasks, out)
    for number in (0, 1, 2):
        run_one(job, number, out, 1)
    left = write_specs(tasks, tasks.tasks[3:], out)
    assert run_one(job, 4, out, 1) == "004"
    assert run_one(left, 0, out, 1) == "003"
    assert run(tasks, out) == {f"{n:03d}": f"a {n}" for n in range(5)}


def test_a_job_with_other_settings_never_signs_for_the_new_ones(out: Store) -> None:
    old, new = work("old"), work("new")
    job = write_specs(old, old.tasks, out)
    write_specs(new, new.tasks, out)
    run_one(job, 0, out, 1)
    assert result_of(new, "000", "new-0", out) is None
    assert result_of(old, "000", "old-0", out) is not None
    assert run(new, out) == {f"{n:03d}": f"new {n}" for n in range(5)}


_when_at_work: list[Callable[[], Any]] = []


def be_overtaken(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    for then in _when_at_work:
        then()
    return write(context, spec)


def test_what_a_job_has_in_work_is_let_in_no_more_when_another_has_taken_its_place(
    out: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = work("old", function=f"{__name__}:be_overtaken"), work("new")
    job = write_specs(old, old.tasks, out)
    monkeypatch.setitem(globals(), "_when_at_work", [lambda: run(new, out)])
    run_one(job, 0, out, 1)
    assert out.read_text("made/0") == "new 0"
    assert run(new, out)["000"] == "new 0"
    with pytest.raises(DataError, match="another build has taken its place"):
        run_one(job, 1, out, 1)


def test_a_stage_that_is_over_takes_nothing_in(out: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = work("old", function=f"{__name__}:be_overtaken")
    job = write_specs(old, old.tasks, out)
    monkeypatch.setitem(globals(), "_when_at_work", [lambda: forget_tasks("work", out)])
    run_one(job, 0, out, 1)
    assert out.list() == []
    assert out.remove_temporaries() == 0


def test_an_engine_that_refuses_the_job_leaves_the_one_that_runs(out: Store) -> None:
    old, new = work("old"), work("new")
    job = write_specs(old, old.tasks, out)
    absent = Engine("PortableRunner", 1, ("--job_endpoint=localhost:1", "--job_server_timeout=1"))
    with pytest.raises(UsageError, match="no job service answers"):
        run(new, out, absent)
    assert run_one(job, 4, out, 1) == "004"
    assert run(old, out) == {f"{n:03d}": f"old {n}" for n in range(5)}


def test_what_was_written_over_is_made_again(out: Store) -> None:
    run(work("new"), out)
    out.write_text("made/3", "old 3")
    assert run(work("new"), out)["003"] == "new 3"
    assert out.read_text("made/3") == "new 3"


def test_no_specs_stay_when_the_stage_is_over(out: Store) -> None:
    for setting in ("old", "new", "newer"):
        tasks = work(setting)
        write_specs(tasks, tasks.tasks, out)
        write_specs(tasks, tasks.tasks[2:], out)
    forget_tasks("work", out)
    assert out.list() == []


class FarAway(Store):
    """A store of other machines', which takes its time, and knows how many deletions were in work at once."""

    @property
    def is_shared(self) -> bool:
        return True

    def remove(self, relative: str) -> None:
        with _lock:
            _now.append(relative)
            _most.append(len(_now))
        time.sleep(0.02)
        super().remove(relative)
        with _lock:
            _now.remove(relative)


_lock = threading.Lock()
_now: list[str] = []
_most: list[int] = []


def test_far_away_many_are_forgotten_at_once() -> None:
    out = FarAway(f"memory://{time.monotonic_ns()}/data")
    for number in range(64):
        out.write_text(f".work/tags/{number:05d}.json", "{}")
        out.write_text(f".work/gone/{number:05d}.json", "{}")
    _most.clear()
    forget_tasks("tags", out)
    assert [info.path for info in out.list(".work/tags")] == []
    assert max(_most) > 8
    _most.clear()
    pipelines.task_runner.forget_other_tasks([], out)
    assert out.list() == []
    assert max(_most) > 8


def test_what_is_being_written_far_away_stays(tmp_path: Path) -> None:
    here, far = Store(str(tmp_path)), FarAway(f"memory://{time.monotonic_ns()}/data")
    for store in (here, far):
        store.write_bytes(f"features/{TEMPORARY_PREFIX}a", b"half")
        store.write_bytes(f"features/{TEMPORARY_PREFIX}b", b"half")
    file = fsspec.filesystem("memory").store[far.full(f"features/{TEMPORARY_PREFIX}b")]
    file.modified = file.modified.replace(year=file.modified.year - 1)
    assert here.remove_abandoned() == 2
    assert far.remove_abandoned() == 1
    assert far.read_bytes(f"features/{TEMPORARY_PREFIX}a") == b"half"


Words = Callable[[Path, str], list[str]]


@pytest.fixture
def words(built: Path, small: Sequence[str]) -> Words:
    """How features are built into a folder, with that lower edge of the lowest band."""

    def build(data: Path, f_min: str) -> list[str]:
        bands = f"{{rate: 16000, n_fft: 512, hop: 512, mels: 32, f_min: {f_min}}}"
        told = f"features.ttmr={{kind: log_mel, preset: custom, mel: {bands}, segments: {{span_s: 3}}}}"
        music = f"source.path={built / 'music'}"
        return ["build", "demo", "--out", str(data), "--only", "features", *small, "--set", music, "--set", told]

    return build


@pytest.fixture
def other(tmp_path: Path, command: Command, words: Words) -> bytes:
    """The shard of another setting, as large as that of the one that is wanted."""
    assert command(*words(tmp_path / "other", "20.0")).code == 0
    return shard(tmp_path / "other").read_bytes()


def shard(data: Path) -> Path:
    return next((data / "features/ttmr").glob("*.parquet"))


def test_a_shard_that_an_old_job_wrote_over_is_not_taken(
    tmp_path: Path, command: Command, words: Words, other: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, wanted = tmp_path / "data", tmp_path / "wanted"
    assert command(*words(wanted, "30.0")).code == 0
    really = pipelines.engine.run

    def and_then(engine: Engine, wire: Any, progress: Any, label: str, *rest: Any, **more: Any) -> None:
        really(engine, wire, progress, label, *rest, **more)
        if label == "features.ttmr":
            shard(data).write_bytes(other)

    with monkeypatch.context() as patched:
        patched.setattr(pipelines.task_runner, "run", and_then)
        ran = command(*words(data, "30.0"))
        assert ran.code == 1
        assert "build again" in ran.err
    assert len(other) == len(shard(wanted).read_bytes())
    assert command(*words(data, "30.0")).code == 0
    assert shard(data).read_bytes() == shard(wanted).read_bytes()
    assert (data / "receipt.json").read_bytes() == (wanted / "receipt.json").read_bytes()


def test_a_shard_that_stood_and_that_an_old_job_wrote_over_is_not_taken(
    tmp_path: Path, command: Command, words: Words, other: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    assert command(*words(data, "30.0")).code == 0
    wanted = shard(data).read_bytes(), (data / "receipt.json").read_bytes()
    (data / "receipt.json").unlink()
    job = replace(work("old"), label="features.ttmr")
    write_specs(job, job.tasks, Store(str(data)))
    really = run_tasks

    def then(*given: Any) -> dict[str, dict[str, Any]]:
        shard(data).write_bytes(other)
        return really(*given)

    with monkeypatch.context() as patched:
        patched.setattr(pipelines.features.stage, "run_tasks", then)
        ran = command(*words(data, "30.0"))
        assert ran.code == 1
        assert "a job of another build was still at work" in ran.err
    assert command(*words(data, "30.0")).code == 0
    assert (shard(data).read_bytes(), (data / "receipt.json").read_bytes()) == wanted


def test_tags_are_those_of_the_settings_while_an_old_job_counts_on(
    built: Path, tmp_path: Path, command: Command, small: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = run_tasks
    passes: list[TaskSet] = []

    def recorded(tasks: TaskSet, *given: Any) -> dict[str, dict[str, Any]]:
        passes.append(tasks)
        return really(tasks, *given)

    def build(data: Path, most: int) -> None:
        told = [f"source.path={built / 'music'}", f"tags.max_tags_per_track={most}"]
        settings = [word for each in told for word in ("--set", each)]
        ran = command("build", "demo", "--out", data, "--only", "tags", *small, *settings)
        assert ran.code == 0, ran.err

    with monkeypatch.context() as patched:
        patched.setattr(pipelines.tags.stage, "run_tasks", recorded)
        build(tmp_path / "old", 2)
    count = passes[0]
    build(tmp_path / "wanted", 20)

    def overtaken(tasks: TaskSet, out: Store, *given: Any) -> dict[str, dict[str, Any]]:
        results = really(tasks, out, *given)
        for task in count.tasks:
            count_unit(TaskContext(out, count.shared, 1, "tags"), task.spec)
        return results

    with monkeypatch.context() as patched:
        patched.setattr(pipelines.tags.stage, "run_tasks", overtaken)
        build(tmp_path / "data", 20)
    tags = [(tmp_path / name / "tags.parquet").read_bytes() for name in ("old", "wanted", "data")]
    assert tags[0] != tags[1] == tags[2]
    assert not (tmp_path / "data" / ".work").exists()


def test_a_job_that_makes_shards_of_other_files_is_another_and_leaves_the_new_shards(
    built: Path, tmp_path: Path, command: Command, small: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    music, data = tmp_path / "music", tmp_path / "data"
    shutil.copytree(built / "music", music)
    words = ["build", "demo", "--out", data, "--only", "features", *small, "--set", f"source.path={music}"]
    words += ["--set", "features.ttmr.segments.span_s=3"]
    really = run_tasks
    jobs: list[TaskSet] = []

    def recorded(tasks: TaskSet, *given: Any) -> dict[str, dict[str, Any]]:
        jobs.append(tasks)
        return really(tasks, *given)

    monkeypatch.setattr(pipelines.features.stage, "run_tasks", recorded)
    assert command(*words).code == 0
    first, second = sorted(music.rglob("*.flac"))[:2]
    first.write_bytes(second.read_bytes())
    assert command(*words).code == 0
    wanted = shard(data).read_bytes()
    old, new = jobs
    assert new.tasks[0].id == old.tasks[0].id

    out = Store(str(data))
    given = write_specs(old, old.tasks, out)
    assert new.specs_of_others(out) == [given.specs]
    forget_tasks(old.label, out)
    with pytest.raises(NotWantedError):
        write_shard(TaskContext(out, old.shared, 1, old.label, given.specs), old.tasks[0].spec)
    assert shard(data).read_bytes() == wanted
    assert out.remove_temporaries() == 0
