"""Where hostile and broken inputs are given to a command: each must end in a clear line or an exclusion.

Nothing in them is executed, and nothing is written outside of the output.
"""

from __future__ import annotations

import contextlib
import random
import re
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
import yaml

from tests.faults.tally import Faults, share_of

Command = Callable[..., Any]
RATE = 16_000
# Control characters that no output may have; a reader's terminal would obey them.
_RAW = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# As rows that cannot be read are excluded: by their number, and where one is longer than a line, up to which.
_AT_ROW = re.compile(r":([0-9]+)$")
_GOES_ON = re.compile(r"goes on to line ([0-9]+)")


@dataclass
class Sandbox:
    """A folder that a command may write into one place of, and what it may not do.

    Attributes:
        root: all below it is watched.
    """

    root: Path
    command: Command
    faults: Faults
    number: int = 0

    def __post_init__(self) -> None:
        self.working.mkdir(parents=True)

    @property
    def folder(self) -> Path:
        """Where inputs and outputs lie: so deep that `../../../..` does not lead out of what is watched."""
        return self.root / "1/2/3/4"

    @property
    def working(self) -> Path:
        """The working directory of each command; what a relative path or a shell's command makes is seen there."""
        return self.folder / "working"

    @property
    def canary(self) -> Path:
        """What an input that is executed is to make, where it can name a path; `touch canary` makes it, too."""
        return self.working / "canary"

    def fresh(self) -> Path:
        """A folder for the next input."""
        self.number += 1
        folder = self.folder / f"in-{self.number}"
        folder.mkdir()
        return folder

    def judge(
        self,
        kind: str,
        what: str,
        *words: str | Path,
        allowed: tuple[int, ...] = (0, 1, 2),
        named: Collection[str] = (),
        rows: int = 0,
        in_row: Callable[[int, int], Collection[str]] = lambda first, last: (),
    ) -> None:
        """Run a command on a hostile input, and require a decent end.

        Args:
            named: the tracks that the input still names: in a dataset that is made each is a track or is excluded.
            rows: that the input has, whatever they say: no fewer are tracks or excluded.
            in_row: the tracks that rows (first, last) of the input name, for rows that are excluded by number.
        """
        with self.faults.plant(kind, what) as fault:
            ran = self.run(*words, allowed=allowed, named=named, rows=rows, in_row=in_row)
            if ran.code:
                fault.refused()
            else:
                fault.recovered()

    @property
    def out(self) -> Path:
        """Where the command that is being run may write."""
        return self.folder / f"out-{self.number}"

    def run(
        self,
        *words: str | Path,
        allowed: tuple[int, ...] = (0, 1, 2),
        named: Collection[str] = (),
        rows: int = 0,
        in_row: Callable[[int, int], Collection[str]] = lambda first, last: (),
    ) -> Any:
        """Run a command as `judge` does, and count nothing.

        Raises:
            AssertionError: it has no decent end, or did what it may not do.
        """
        before = self._everything()
        with contextlib.chdir(self.working):
            ran = self.command(*words, "--out", self.out)
            verified = None if ran.code else self.command("verify", self.out)
        said = ran.out + ran.err
        assert "Traceback" not in said, said[-2000:]
        assert ran.code in allowed, (ran.code, said[-1000:])
        assert not _RAW.search(said), repr(said[-500:])
        assert not [path for path in self.root.rglob("canary") if str(path) not in before], "it was executed"
        if ran.code:
            last = ran.err.strip().splitlines()[-1]
            assert last.startswith("tracklore: "), ran.err[-1000:]
            assert len(last) < 6000, "a line of a book's length"
        after = self._everything()
        touched = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        assert not touched, f"written outside of the output: {touched[:5]}"
        if verified is not None:
            assert verified.code == 0, verified.out + verified.err
            self._require_whole(named, rows, in_row)
        return ran

    def _require_whole(
        self, named: Collection[str], rows: int, in_row: Callable[[int, int], Collection[str]]
    ) -> None:
        """Require that nothing was lost, and that what left says why.

        Raises:
            AssertionError: it is not so.
        """
        tracks, excluded = kept_and_excluded(self.out)
        assert len(tracks) == len(set(tracks)), "a track stands twice"
        assert all(reason and detail for _, reason, detail in excluded), excluded
        by_number = [
            (found, goes_on)
            for track, _, detail in excluded
            if (found := _AT_ROW.search(track))
            for goes_on in [_GOES_ON.search(detail)]
        ]
        spans = [(int(found[1]), int(goes_on[1] if goes_on else found[1])) for found, goes_on in by_number]
        told = {track for first, last in spans for track in in_row(first, last)}
        lost = sorted(set(named) - set(tracks) - {track for track, _, _ in excluded} - told)
        assert not lost, f"lost without a word: {lost}"
        accounted = len(tracks) + len(excluded) + sum(last - first for first, last in spans)
        assert accounted >= rows, f"{len(tracks)} tracks and {excluded} of {rows} rows"

    def _everything(self) -> dict[str, tuple[int, int]]:
        """Size and time of all that is not the output, nor the folder that the output is made in."""
        found = {}
        for path in self.root.rglob("*"):
            if path != self.folder and not path.is_relative_to(self.out):
                status = path.lstat()
                found[str(path)] = (status.st_size, status.st_mtime_ns)
        return found


def kept_and_excluded(out: Path) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The tracks of a dataset; and what was excluded: id, reason and detail."""
    tracks = pq.read_table(out / "tracks.parquet", columns=["track_id"]).column(0).to_pylist()
    left = pq.read_table(out / "exclusions.parquet", columns=["id", "reason", "detail"]).to_pylist()
    return tracks, [(row["id"], row["reason"], row["detail"]) for row in left]


def tone(path: Path, seconds: float = 4.0, pitch: float = 220.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, (0.5 * np.sin(2 * np.pi * pitch * t)).astype(np.float32), RATE)
    return path


def spoilt(content: bytes, draws: random.Random) -> bytes:
    """A file that was damaged in some way: never what it was."""
    while (made := _damaged(content, draws)) == content:
        pass
    return made


def _damaged(content: bytes, draws: random.Random) -> bytes:
    made = bytearray(content)
    place = draws.randrange(max(1, len(made)))
    match draws.randrange(8):
        case 0:
            return bytes(made[:place])
        case 1:
            for _ in range(draws.randint(1, 12)):
                made[draws.randrange(len(made))] = draws.randrange(256)
        case 2:
            made[place:place] = draws.randbytes(draws.randint(1, 40))
        case 3:
            made[place:place] = draws.choice(
                [b"\x00", b'"', b"\xff\xfe", b"\xed\xa0\x80", b"\r", b"\x1b[2J", b"\n"]
            )
        case 4:
            made[place : place + 64] = bytes(min(64, len(made) - place))
        case 5:
            return draws.randbytes(draws.randint(0, 400))
        case 6:
            made[place : place + 8] = struct.pack("<q", draws.choice([-1, 1 << 40, (1 << 63) - 1, 0]))
        case _:
            start = draws.randrange(len(made))
            made = made[start:] + made[:start]
    return bytes(made)


def as_yaml(content: Any) -> bytes:
    return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Whole:
    """A file that is to be damaged.

    Attributes:
        words: of a build that reads it.
        named: how the file names a track, around `{id}`: as long as that stands, the track may not be lost.
        lines: whether each line below the first is a row.
        listed: the tracks in the order of their rows, where these are no lines.
    """

    content: bytes
    words: list[str]
    named: str = "{id}"
    lines: bool = False
    listed: tuple[str, ...] = ()

    def names(self, track: str, content: bytes) -> bool:
        """Whether the file, damaged or not, names a track."""
        return re.search(self.named.replace("{id}", re.escape(track)).encode(), content, re.MULTILINE) is not None

    def in_rows(self, content: bytes, tracks: Collection[str], first: int, last: int) -> Collection[str]:
        """Those of some tracks that rows of the damaged file name."""
        if self.listed:
            return self.listed[first - 1 : last]
        some = b"\n".join(re.split(b"\r\n|\r|\n", content)[first - 1 : last])
        return [track for track in tracks if self.names(track, some)]

    def rows(self, content: bytes) -> int:
        """How many rows there are to be accounted for."""
        return max(0, len([line for line in content.split(b"\n") if line.strip()]) - 1) if self.lines else 0


def spoil_each(sandbox: Sandbox, kind: str, formats: Callable[[Path], dict[str, Whole]], times: int) -> None:
    draws = random.Random(kind)
    folder = sandbox.fresh()
    files = formats(folder)
    for name, whole in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(whole.content)
    tracks: dict[str, list[str]] = {}
    for name, whole in files.items():
        out = sandbox.folder / f"whole-{name.replace('/', '-')}"
        ran = sandbox.command("build", *whole.words, "--only", "source", "--out", out)
        assert ran.code == 0, (name, ran.err)  # else nothing would be said of the damage
        kept, left = kept_and_excluded(out)
        tracks[name] = [*kept, *(track for track, _, _ in left)]
        assert any(whole.names(track, whole.content) for track in tracks[name]), (name, tracks[name])
    for number in range(share_of(times)):
        name, whole = list(files.items())[number % len(files)]
        damaged = spoilt(whole.content, draws)
        (folder / name).write_bytes(damaged)
        sandbox.number += 1
        # What other files name stays, too.
        unnamed = {track for track in tracks[name] if whole.names(track, whole.content)}
        unnamed -= {track for track in tracks[name] if whole.names(track, damaged)}
        named = sorted(set(tracks[name]) - unnamed)
        words = ["build", *whole.words, "--only", "source"]
        in_row = partial(whole.in_rows, damaged, named)
        what = f"{name} {number}"
        sandbox.judge(kind, what, *words, named=named, rows=whole.rows(damaged), in_row=in_row)
        (folder / name).write_bytes(whole.content)
