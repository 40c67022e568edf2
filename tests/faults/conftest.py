"""Faults are planted through the command line and counted; `make faults` runs them all."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.faults.builds import Started, ended, words_of
from tests.faults.tally import Faults, as_json, counted, is_whole, table

_rows: list[dict[str, str]] = []
_not_run: dict[str, str] = {}
_seconds: defaultdict[str, float] = defaultdict(float)
FOLDER = Path(__file__).parent


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Iterator[Faults]:
    """Where a test plants its faults; one that ends wrong fails the test."""
    found = Faults()
    yield found
    for fault in found.planted:
        request.node.user_properties.append(("fault", fault.row()))
    found.require_right()


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str]]]:
    """A web server on loopback that has nothing: its port, and what it was asked for."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(403 if "refused" in self.path else 404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_CONNECT(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()
    server.server_close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Gather what the tests' reports tell, those of other processes too."""
    _seconds[Path(report.location[0]).name] += report.duration
    if report.when == "teardown":
        _rows.extend(value for name, value in report.user_properties if name == "fault" and isinstance(value, dict))
    elif report.skipped and isinstance(report.longrepr, tuple):
        _not_run[report.nodeid.rpartition("::")[2]] = report.longrepr[2].removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the counts and, of a whole run, write them down."""
    if not _rows or hasattr(config, "workerinput"):
        return
    found = {**counted(_rows, _not_run), "seconds": {name: round(_seconds[name]) for name in sorted(_seconds)}}
    if is_whole(config, FOLDER):  # a part of the suite would leave counts that say less than they seem to
        (config.rootpath / "faults.json").write_text(as_json(found))
    terminalreporter.write_sep("=", "faults")
    for line in table(found):
        terminalreporter.write_line(line)
    if killed_s := found["seconds"].get("test_kills.py"):
        processes = getattr(config.option, "numprocesses", None) or 1
        terminalreporter.write_line(f"the kills took {killed_s} s of {processes} processes' time")


@pytest.fixture(scope="session")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[float, str]]]:
    folder = tmp_path_factory.mktemp("reference")
    one = Started(words_of(folder / "data", "--workers", "2"), folder / "home", {})
    try:
        ran = one.end()
    finally:
        ended(one)
    assert ran.code == 0, ran.err
    return folder / "data", one.lines


@pytest.fixture(scope="session")
def reference(_whole: tuple[Path, list[tuple[float, str]]]) -> Path:
    """The dataset that every build of the corpus must end in, with its music. To be read only."""
    return _whole[0]


@pytest.fixture(scope="session")
def undisturbed(_whole: tuple[Path, list[tuple[float, str]]]) -> list[tuple[float, str]]:
    """What the build of the reference said, with the seconds since it began."""
    return _whole[1]


@pytest.fixture
def copy(reference: Path, tmp_path: Path) -> Path:
    """A copy of the dataset to change."""
    shutil.copytree(reference, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start builds of the twenty pieces in processes of their own; none outlives the test."""
    begun: list[Started] = []
    numbers = itertools.count()

    def begin(
        out: Path | str,
        *more: str,
        environment: dict[str, str] | None = None,
        words: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> Started:
        home = tmp_path / f"home-{next(numbers)}"
        one = Started(words or words_of(out, *more), home, environment or {}, prefix)
        begun.append(one)
        return one

    yield begin
    for one in begun:
        ended(one)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small generated videos, and lists of their ids."""
    from pipelines.synthesis.videos import encode_video, plan_video

    folder = tmp_path_factory.mktemp("videos")
    (folder / "lists").mkdir()
    (folder / "files").mkdir()
    lines: list[str] = []
    for number in range(4):
        track = f"-a{number:07d}_Z"
        encode_video(
            plan_video("music_video", number, 36.0, 12, (160, 90)),
            folder / f"files/{track}.mp4",
            sound_codec="flac",
        )
        lines += ["", f"# new artist:\tArtist {number}\t{number:022d}", "", track]
    (folder / "lists/youtube_video_ids_00_206947.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
