"""Real music to measure on: a folder named in TRACKLORE_MUSIC, or the music of Debian packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

WORK = Path(__file__).with_name(".work")
PACKAGES = ("wesnoth-1.16-music", "singularity-music")
# Music by some thirty people who are named in its tags.
BY_MANY_ARTISTS = (
    *PACKAGES, "extremetuxracer-data", "fillets-ng-data", "freedroidrpg-data", "hedgewars-data", "hyperrogue-music",
    "lincity-ng-data", "marsshooter-data", "planetblupi-music-ogg", "supertux-data", "xmoto-data",
)  # fmt: skip
SHORTEST_BYTES = 1_000_000


def real_music() -> list[Path]:
    """Full-length OGG files, sorted by name; fetched once.

    Raises:
        SystemExit: there are none, and the packages cannot be had.
    """
    folder = music_tree("music", PACKAGES)
    found = sorted(path for path in folder.rglob("*.ogg") if path.stat().st_size >= SHORTEST_BYTES)
    if not found:
        raise SystemExit(
            f"{folder}: no OGG files of at least {SHORTEST_BYTES:,} bytes; name a folder in TRACKLORE_MUSIC"
        )
    return found


def music_tree(name: str, packages: Sequence[str]) -> Path:
    """The folder that TRACKLORE_MUSIC names, or one in which these packages are unpacked.

    Raises:
        SystemExit: the packages cannot be had.
    """
    named = os.environ.get("TRACKLORE_MUSIC")
    if named:
        return Path(named)
    folder = WORK / name
    if (folder / ".unpacked").exists():
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise SystemExit("no Debian packages here: name a folder of OGG files in TRACKLORE_MUSIC")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True, capture_output=True)
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
