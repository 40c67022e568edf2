"""Where hostile and broken inputs are given to a command: each must end in a clear line or an exclusion.

Nothing in them is executed, and nothing is written outside of the output.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from tests.faults.tally import Faults, share_of

Command = Callable[..., Any]
RATE = 16_000
# Control characters that no output may have; a reader's terminal would obey them.
_RAW = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass
class Sandbox:
    """A folder that a command may write into one place of, and what it may not do."""

    folder: Path
    command: Command
    faults: Faults
    number: int = 0

    @property
    def canary(self) -> Path:
        """Is there when something was executed."""
        return self.folder / "canary"

    def fresh(self) -> Path:
        """A folder for the next input."""
        self.number += 1
        folder = self.folder / f"in-{self.number}"
        folder.mkdir()
        return folder

    def judge(self, kind: str, what: str, *words: str | Path, allowed: tuple[int, ...] = (0, 1, 2)) -> Any:
        """Run a command on a hostile input, and require a decent end."""
        out = self.folder / f"out-{self.number}"
        ran = None
        with self.faults.plant(kind, what) as fault:
            before = self._everything(out)
            ran = self.command(*words, "--out", out)
            said = ran.out + ran.err
            assert "Traceback" not in said, said[-2000:]
            assert ran.code in allowed, (ran.code, said[-1000:])
            assert not _RAW.search(said), repr(said[-500:])
            assert not self.canary.exists(), "it was executed"
            if ran.code:
                last = ran.err.strip().splitlines()[-1]
                assert last.startswith("tracklore: "), ran.err[-1000:]
                assert len(last) < 6000, "a line of a book's length"
            assert self._everything(out) == before, "written outside of the output"
            if ran.code:
                fault.refused()
            else:
                fault.recovered()
        return ran

    def _everything(self, out: Path) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.folder.rglob("*"):
            if not path.is_relative_to(out):
                status = path.lstat()
                found[str(path)] = (status.st_size, status.st_mtime_ns)
        return found


def tone(path: Path, seconds: float = 4.0, pitch: float = 220.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, (0.5 * np.sin(2 * np.pi * pitch * t)).astype(np.float32), RATE)
    return path


def spoilt(content: bytes, draws: random.Random) -> bytes:
    """A file that was damaged in some way."""
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


def spoil_each(
    sandbox: Sandbox, kind: str, formats: Callable[[Path], dict[str, tuple[bytes, list[str]]]], times: int
) -> None:
    draws = random.Random(kind)
    folder = sandbox.fresh()
    files = formats(folder)
    for name, (content, _) in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    for name, (_, words) in files.items():
        ran = sandbox.command(
            "build", *words, "--only", "source", "--out", sandbox.folder / f"whole-{name.replace('/', '-')}"
        )
        assert ran.code == 0, (name, ran.err)  # else nothing would be said of the damage
    for number in range(share_of(times)):
        name, (content, words) = list(files.items())[number % len(files)]
        (folder / name).write_bytes(spoilt(content, draws))
        sandbox.number += 1
        sandbox.judge(kind, f"{name} {number}", "build", *words, "--only", "source")
        (folder / name).write_bytes(content)
