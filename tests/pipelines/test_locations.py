"""Where a manifest's relative paths start: from the manifest, wherever it lies."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.locations import from_base
from schemas.errors import UsageError
from schemas.store import Store

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("uri", "base", "found"),
    [
        ("music", "/data", "/data/music"),
        ("/music", "/data", "/music"),
        ("music", None, "music"),
        ("s3://b/music", "/data", "s3://b/music"),
        ("music", "s3://b/recipes", "s3://b/recipes/music"),
        ("../music/./x", "gs://b/recipes", "gs://b/music/x"),
        ("/music", "s3://b/recipes", "/music"),
    ],
)
def test_relative_paths_start_where_the_manifest_lies(uri: str, base: str | None, found: str) -> None:
    assert from_base(uri, base) == found


@pytest.mark.parametrize("uri", ["../..", "../../other/music", "../../../x"])
def test_no_path_leads_out_of_the_bucket(uri: str) -> None:
    with pytest.raises(UsageError, match="leads out of"):
        from_base(uri, "s3://b/recipes")


def test_a_manifest_in_a_store_is_built_from_what_lies_beside_it(command: Command, tmp_path: Path) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    store, rng = Store(root), np.random.default_rng(0)
    rows = ["path,artist,title,genre"]
    for number in range(6):
        sound = io.BytesIO()
        soundfile.write(sound, rng.normal(0, 0.1, 8000), 16000, format="WAV")
        store.write_bytes(f"music/{number}.wav", sound.getvalue())
        rows.append(f"{number}.wav,artist {number},title {number},rock")
    store.write_text("music/metadata.csv", "\n".join(rows))
    store.write_text("bad.csv", "track_id\n5\n")
    store.write_text(
        "recipes/m.yaml",
        "name: here\nexclude: ../bad.csv\nsource: {kind: folder, path: ../music}\ntags: {min_tracks: 1}\n",
    )
    ran = command("build", f"{root}/recipes/m.yaml", "--out", f"{root}/out")
    assert ran.code == 0, ran.err
    assert "default" in ran.out
    missing = command("build", f"{root}/recipes/none.yaml", "--out", f"{root}/out")
    assert missing.code == 2 and "no such manifest" in missing.err
