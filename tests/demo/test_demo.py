"""`tracklore demo` as `make demo` runs it: the whole way, on the whole corpus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.store import Store
from schemas.tables import EXCLUSIONS, PAIRS, SPLITS, TRACKS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo leaves, with what it printed in `printed`."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    environment = {**os.environ, "COLUMNS": "160", "XDG_CACHE_HOME": str(out.parent / "cache")}
    command = [sys.executable, "-m", "tracklore", "demo", "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (out / "printed").write_text(done.stdout)
    return out


@pytest.fixture(scope="module")
def metrics(demo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((demo / "run/metrics.json").read_text())
    return found


def test_sentences_find_their_music_among_unheard_artists(demo: Path, metrics: dict[str, Any]) -> None:
    retrieval = metrics["retrieval"]
    assert retrieval["pairs"] >= 100
    assert retrieval["chance_at_10"] == pytest.approx(10 / retrieval["pairs"])
    assert retrieval["recall_at_10"] >= 4 * retrieval["chance_at_10"]
    assert retrieval["recall_at_1"] <= retrieval["recall_at_5"] <= retrieval["recall_at_10"]
    assert {"map_at_10", "median_rank"} <= set(retrieval)
    store = Store(str(demo / "data"))
    captions = PAIRS.read(store).column("caption").to_pylist()
    assert len(set(captions)) >= retrieval["pairs"]


def test_tags_are_recognised_on_unheard_artists(metrics: dict[str, Any]) -> None:
    tagging = metrics["tagging"]
    assert tagging["roc_auc"] >= 0.80
    assert tagging["tags"] >= 35
    assert {"pr_auc", "tags_without_positives"} <= set(tagging)


def test_no_artist_and_no_recording_is_shared(demo: Path) -> None:
    store = Store(str(demo / "data"))
    split = {row["track_id"]: row["split"] for row in SPLITS.read(store).to_pylist()}
    places: dict[str, set[str]] = {}
    for track in TRACKS.read(store).to_pylist():
        for key in (f"artist {track['artist_id']}", f"recording {track['recording_id']}"):
            places.setdefault(key, set()).add(split[track["track_id"]])
    assert all(len(found) == 1 for found in places.values())
    sizes = [list(split.values()).count(name) / len(split) for name in ("train", "valid", "test")]
    assert sizes == pytest.approx([0.6, 0.1, 0.3], abs=0.02)


def test_the_planted_defects_and_nothing_else_are_excluded(demo: Path) -> None:
    rows = EXCLUSIONS.read(Store(str(demo / "data"))).to_pylist()
    reasons = sorted(row["reason"] for row in rows)
    assert reasons == ["duplicate_recording", "not_audio", "silent", "too_short", "truncated"]


def test_it_prints_the_funnel_the_audit_and_the_evaluation(demo: Path) -> None:
    printed = (demo / "printed").read_text()
    for words in ("Funnel", "0 artists, 0 recordings", "recall at 10", "ROC-AUC", "calm piano"):
        assert words in printed


@pytest.mark.parametrize(("query", "words"), [("techno", {"techno"}), ("slow calm music", {"slow", "calm"})])
def test_search_finds_what_the_words_say(demo: Path, query: str, words: set[str]) -> None:
    command = [sys.executable, "-c", "import json,sys;from train import cli;"]
    script = (
        f"rows = cli.search({str(demo / 'run')!r}, {query!r}, top=5); print(json.dumps([r['tags'] for r in rows]))"
    )
    done = subprocess.run([*command[:2], command[2] + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tags = json.loads(done.stdout.strip().splitlines()[-1])
    hits = sum(bool(words & set(found)) for found in tags)
    assert hits >= 4, tags


def test_the_page_shows_the_run(demo: Path) -> None:
    page = (demo / "data/report.html").read_text()
    assert "R@10" in page or "recall" in page.lower()
    assert "http-equiv" in page


def test_a_second_demo_stands(demo: Path) -> None:
    before = (demo / "run/model.safetensors").read_bytes()
    environment = {**os.environ, "XDG_CACHE_HOME": str(demo.parent / "cache")}
    command = [sys.executable, "-m", "tracklore", "demo", "--out", str(demo)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert (demo / "run/model.safetensors").read_bytes() == before
