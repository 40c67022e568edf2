"""The same manifests on every engine, through the command line; `make engines` fetches them and runs all of it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam
import pytest

from tests.engines import corpus, videos
from tests.engines.services import JOB_SERVER_JAR, LOGS, PRISM, WORKER_PYTHON
from tests.faults.builds import Ended, Started, ended, receipt_of, require_finished
from tests.faults.tally import is_whole

BUILD_S = 600.0
NOT_RUN = ("Google's own Dataflow service", "an engine in Docker")
_rows: list[dict[str, Any]] = []


class Trial:
    """The manifest's build on one engine, and what becomes of it.

    Attributes:
        out: where it goes.
        logs: where the engine's processes write what they say.
        home: for their temporary files.
    """

    def __init__(self, manifest: Path | str, reference: Path, folder: Path, logs: Path) -> None:
        self.out, self.home, self.logs = folder / "data", folder / "home", logs
        self.manifest, self.reference = manifest, reference
        self.row: dict[str, Any] = {}
        self._one: Started | None = None

    def begin(
        self,
        engine: str,
        version: str,
        how: str,
        *flags: str,
        workers: int = 2,
        out: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Started:
        """Start the build.

        Args:
            engine, version, how: as the table is to say.
            out: elsewhere than in a folder of its own.
            environment: what the build is to know besides.
        """
        self.row = {"engine": engine, "version": version, "how": how, "workers": workers}
        self.row |= {"receipt": "other", "seconds": 0.0, "killed": ""}
        words = ["build", str(self.manifest), "--out", out or str(self.out), "--workers", str(workers), *flags]
        self._one = Started([*words, "--stall-timeout", "300"], self.home / "driver", dict(environment or {}))
        return self._one

    def finish(self) -> Ended:
        """Wait for the end of the build, and require the reference's bytes of it."""
        ran = self.end()
        require_finished(self.out, self.reference)
        self.equal()
        return ran

    def end(self) -> Ended:
        """Wait for the end of the build.

        Raises:
            AssertionError: it failed.
        """
        assert self._one is not None
        ran = self._one.end(BUILD_S)
        self.row["seconds"] = round(time.monotonic() - self._one.began, 1)
        (self.logs / "build.log").write_text(f"{ran.out}\n{ran.err}")
        assert ran.code == 0, ran.err[-3000:]
        assert "Traceback" not in ran.err, ran.err[-3000:]
        return ran

    def equal(self) -> None:
        """The bytes were the reference's."""
        self.row["receipt"] = "equal"

    def close(self) -> None:
        if self._one is not None:
            ended(self._one)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def reference(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the default runner makes of it. To be read only."""
    data = _made_here(manifest, tmp_path_factory.mktemp("reference"))
    assert receipt_of(data)["shards"] > 2, "too few shards to be spread over workers"
    _require_stages(data, "source", "tags", "features.mel", "features.fp", "recordings", "splits")
    return data


@pytest.fixture(scope="session")
def videos_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return videos.write(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="session")
def videos_reference(videos_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the default runner makes of the videos. To be read only."""
    data = _made_here(videos_manifest, tmp_path_factory.mktemp("videos-reference"))
    _require_stages(data, "source", "videos", "tags", "splits", "features.pictures", "features.sound")
    return data


def _made_here(manifest: Path, folder: Path) -> Path:
    one = Started(["build", str(manifest), "--out", str(folder / "data")], folder / "home", {})
    try:
        ran = one.end(BUILD_S)
    finally:
        ended(one)
    assert ran.code == 0, ran.err
    return folder / "data"


def _require_stages(data: Path, *names: str) -> None:
    """Require that a build had these stages, and that each made files."""
    stages = receipt_of(data)["stages"]
    assert set(names) <= {name for name, stage in stages.items() if stage["files"]}, sorted(stages)


@pytest.fixture(scope="session", autouse=True)
def _fetched() -> None:
    absent = [path for path in (PRISM, JOB_SERVER_JAR, WORKER_PYTHON) if not path.exists()]
    if absent:
        pytest.exit(f"{absent[0]} is not there: `make engines` fetches what the engines need", 2)


@pytest.fixture
def trial(request: pytest.FixtureRequest, manifest: Path, reference: Path, tmp_path: Path) -> Iterator[Trial]:
    """A build that is counted in the table. Its processes do not outlive the test."""
    yield from _counted(request.node, manifest, reference, tmp_path)


@pytest.fixture
def videos_trial(
    request: pytest.FixtureRequest, videos_manifest: Path, videos_reference: Path, tmp_path: Path
) -> Iterator[Trial]:
    """The same of the music videos."""
    yield from _counted(request.node, videos_manifest, videos_reference, tmp_path)


def _counted(node: pytest.Item, manifest: Path, reference: Path, folder: Path) -> Iterator[Trial]:
    logs = LOGS / node.name.removeprefix("test_").replace("[", "-").rstrip("]")
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    found = Trial(manifest, reference, folder, logs)
    yield found
    found.close()
    if found.row:
        node.user_properties.append(("engine", found.row))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Name the logs where a test fails."""
    report = yield
    for trial in getattr(item, "funcargs", {}).values():
        if report.failed and isinstance(trial, Trial):
            report.sections.append(("logs of the engine", str(trial.logs)))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Gather what the tests tell."""
    if report.when == "teardown":
        told = (value for name, value in report.user_properties if name == "engine")
        _rows.extend(value for value in told if isinstance(value, dict))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table and, of a whole run, write it down."""
    if not _rows:
        return
    found = {"beam": apache_beam.__version__, "runs": _rows, "not_run": NOT_RUN}
    if is_whole(config, Path(__file__).parent):
        (config.rootpath / "engines.json").write_text(json.dumps(found, indent=1) + "\n")
    terminalreporter.write_sep("=", "engines")
    for line in table(_rows):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"not run: {', '.join(NOT_RUN)}")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The rows as lines of text."""
    head = ("engine", "version", "how", "workers", "killed", "seconds", "receipt")
    cells = [head, *(tuple(str(row[key]) for key in head) for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
