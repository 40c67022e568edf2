"""A project of Google's on loopback, with credentials that it knows, and a folder of music in a bucket."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.pipelines.dataflow.google_server import Google, GoogleServer, Worker

# Else gcsfs asks after kinds of buckets over gRPC, where only Google's own servers answer.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
ROOT = Path(__file__).parents[3]
TRACKS = 6


@pytest.fixture(scope="session")
def private_key() -> str:
    """Of the service account that the tests are."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


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

    folder = tmp_path / "google"
    folder.mkdir()
    held = {path.name: path.read_bytes() for path in music.iterdir()}
    with GoogleServer(Google({"music": held, "lake": {}}, folder=folder)) as server:
        account = {
            "type": "service_account",
            "project_id": "the-project",
            "private_key_id": "1",
            "private_key": private_key,
            "client_email": "builder@the-project.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"{server.url}/token",
        }
        (folder / "key.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "key.json"))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(auth._Credentials, "_credentials_init", False)
        # It waits for five seconds between two looks at a job.
        hasty = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.2)), time=time.time)
        monkeypatch.setattr(dataflow_runner, "time", hasty)
        _forget_clients()
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        server.google.worker = Worker({**os.environ, "PYTHONPATH": path})
        yield server
    _forget_clients()


def _forget_clients() -> None:
    import gcsfs

    gcsfs.GCSFileSystem.clear_instance_cache()
