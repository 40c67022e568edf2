"""The peers' own virtual environment: packages whose pins clash with ours, beside our PyTorch and numpy.

It holds the peers and what they import, without dependencies of their own choosing (MosaicML Streaming alone would
bring another PyTorch, clouds and transformers 4); the rest comes from our environment through a `.pth` file.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

WORK = Path(__file__).parent / ".work"
PINS = (
    "webdataset==1.0.2",
    "braceexpand==0.1.7",
    "mosaicml-streaming==0.13.0",
    "brotli==1.2.1",
    "catalogue==2.0.10",
    "cramjam==2.14.0",
    "python-snappy==0.7.3",
    "torchvision==0.26.0",
    "xxhash==3.6.0",
    "zstd==1.5.7.2",
    "lhotse==1.33.0",
    "cytoolz==1.2.0",
    "intervaltree==3.2.1",
    "tabulate==0.10.0",
    "toolz==1.2.0",
)


def peers_python() -> Path:
    """The interpreter of the peers' environment, made when it is not there or its pins have changed."""
    home = WORK / "peers-venv"
    python = home / "bin" / "python"
    stamp = home / "pins.txt"
    wanted = "\n".join((*PINS, sys.version))
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    venv.create(home, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, *PINS], check=True)
    ours = Path(np.__file__).parents[1]
    theirs = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (theirs / "ours.pth").write_text(f"{ours}\n")
    stamp.write_text(wanted)
    return python
