"""A project of Google's on loopback: its server, a service account that it knows, and where clients find both."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pipelines.dataflow.google_server import Google, GoogleServer, Worker

ROOT = Path(__file__).parents[3]


def new_private_key() -> str:
    """Of a service account, as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@contextmanager
def google_project(
    folder: Path, buckets: dict[str, dict[str, bytes]], private_key: str
) -> Iterator[tuple[GoogleServer, dict[str, str]]]:
    """The server while the block runs, and the environment by which every client of Google's finds it.

    Args:
        folder: is made, for the account's key, the jobs' graphs and caches.
        buckets: what lies in them, by bucket and name.
    """
    folder.mkdir()
    with GoogleServer(Google(buckets, folder=folder)) as server:
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
        known = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "key.json"),
            "STORAGE_EMULATOR_HOST": server.url,
            "NO_GCE_CHECK": "true",
            # Else gcsfs asks after kinds of buckets over gRPC, where only Google's own servers answer.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        server.google.worker = Worker({**os.environ, **known, "PYTHONPATH": path})
        yield server, known
