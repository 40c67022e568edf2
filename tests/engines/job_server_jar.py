"""Make the jar that starts Beam's job server for Flink from a folder of jars: it names them, and holds no class.

python tests/engines/job_server_jar.py FOLDER
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

NAME = "tracklore-flink-job-server.jar"
MAIN = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_WIDTH = 72


def make(folder: Path) -> Path:
    """Write the jar into the folder; return its path."""
    others = sorted(path.name for path in folder.glob("*.jar") if path.name != NAME)
    lines = ["Manifest-Version: 1.0", f"Main-Class: {MAIN}", *_folded(f"Class-Path: {' '.join(others)}"), "", ""]
    with zipfile.ZipFile(folder / NAME, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "\r\n".join(lines))
    return folder / NAME


def _folded(line: str) -> list[str]:
    """A line of a manifest as the lines of at most 72 bytes that it must be written in."""
    first, rest = line[:_WIDTH], line[_WIDTH:]
    return [first, *(f" {rest[at : at + _WIDTH - 1]}" for at in range(0, len(rest), _WIDTH - 1))]


if __name__ == "__main__":
    make(Path(sys.argv[1]))
