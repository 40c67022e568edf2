"""What a training runs on: versions, commit, machine. Part of no digest; kept so that a run can be repeated."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from train.loop.devices import core_count

_ROOT = Path(__file__).parents[2]


def environment(device: torch.device, processes: int) -> dict[str, Any]:
    """The environment of this process, as `environment.json` holds it."""
    return {
        "tracklore": _version("tracklore"),
        "commit": commit_of(_ROOT),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": device_name(device),
        "processes": processes,
        "cores": core_count(),
        "threads": torch.get_num_threads(),
        "packages": packages(),
    }


def device_name(device: torch.device) -> str:
    """The model of the GPU or of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def packages() -> dict[str, str]:
    """Every installed distribution and its version, sorted."""
    found = {str(each.metadata["Name"] or ""): each.version for each in importlib.metadata.distributions()}
    return {name: found[name] for name in sorted(found, key=str.lower) if name}


def commit_of(root: Path) -> str | None:
    """The commit of the checkout that `root` is, `+` behind it when files differ from it; None for no checkout."""
    if not (root / ".git").exists():  # an installed package may lie in somebody else's checkout
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)  # noqa: S603
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
