"""A project of Google's on loopback, with credentials that it knows, and a folder of music in a bucket."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.pipelines.dataflow.google_project import google_project, new_private_key
from tests.pipelines.dataflow.google_server import GoogleServer

# gcsfs reads it as it is imported, which an earlier test may do.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
TRACKS = 6


@pytest.fixture(scope="session")
def private_key() -> str:
    """Of the service account that the tests are."""
    return new_private_key()


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short tracks by three artists."""
    folder = tmp_path_factory.mktemp("music")
    lines = ["path,artist,title,genre"]
    for number in range(TRACKS):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 16_000 * 4)
        soundfile.write(folder / f"{number}.flac", noise, 16_000, "PCM_16")
        lines.append(f"{number}.flac,artist {number % 3},title {number},genre {number % 2}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def google(
    tmp_path: Path, private_key: str, music: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GoogleServer]:
    """The server, known to every client by the environment; `gs://music` holds the tracks."""
    from apache_beam.internal.gcp import auth
    from apache_beam.runners.dataflow import dataflow_runner

    held = {path.name: path.read_bytes() for path in music.iterdir()}
    with google_project(tmp_path / "google", {"music": held, "lake": {}}, private_key) as (server, known):
        for key, value in known.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr(auth._Credentials, "_credentials_init", False)
        # It waits for five seconds between two looks at a job.
        hasty = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.2)), time=time.time)
        monkeypatch.setattr(dataflow_runner, "time", hasty)
        _forget_clients()
        yield server
    _forget_clients()


def _forget_clients() -> None:
    import gcsfs

    gcsfs.GCSFileSystem.clear_instance_cache()
