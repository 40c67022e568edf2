"""Real OGG files to measure on: a folder named in TRACKLORE_MUSIC, or the music of two Debian packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

WORK = Path(__file__).with_name(".work")
PACKAGES = ("wesnoth-1.16-music", "singularity-music")
SHORTEST_BYTES = 1_000_000


def real_music() -> list[Path]:
    """Full-length OGG files, sorted by name; fetched once.

    Raises:
        SystemExit: there are none, and the packages cannot be had.
    """
    named = os.environ.get("TRACKLORE_MUSIC")
    folder = Path(named) if named else _unpacked()
    found = sorted(path for path in folder.rglob("*.ogg") if path.stat().st_size >= SHORTEST_BYTES)
    if not found:
        raise SystemExit(
            f"{folder}: no OGG files of at least {SHORTEST_BYTES:,} bytes; name a folder in TRACKLORE_MUSIC"
        )
    return found


def _unpacked() -> Path:
    folder = WORK / "music"
    if (folder / ".unpacked").exists():
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise SystemExit("no Debian packages here: name a folder of OGG files in TRACKLORE_MUSIC")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, capture_output=True)
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True)
    (folder / ".unpacked").touch()
    return folder


def linked(files: list[Path], count: int, folder: Path) -> Path:
    """The files under enough names, by hard links, in a folder made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(count):
        source = files[number % len(files)]
        (folder / f"{number:05d}.ogg").hardlink_to(source)
    return folder
