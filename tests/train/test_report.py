"""A run's page: what it shows, that it is escaped, the same every time, and that music is linked, not held."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pytest

from train import cli
from train.report import page
from train.run import Run

Command = Callable[..., Any]


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def elements(run: Path) -> Elements:
    parser = Elements()
    parser.feed((run / "report.html").read_text("utf-8"))
    return parser


@pytest.fixture(autouse=True)
def _quick_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two dimensions: what UMAP does is tested by itself."""
    monkeypatch.setattr(page, "plane", lambda vectors: np.asarray(vectors[:, :2], np.float64))


@pytest.fixture(scope="module")
def evaluated(trained: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of figure; read-only by agreement."""
    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained, run)
    Run.at(str(run)).remember_location(str(dataset))
    found = cli.evaluate(str(run), probing=True)
    rows = [
        {"percent": p, "train_tracks": p, "spread": {"roc_auc": 0.01, "pr_auc": 0.02}, "intervals": {}, "tags": 6}
        | {"roc_auc": 0.6 + p / 500, "pr_auc": 0.4 + p / 500}
        for p in (5, 20, 100)
    ]
    found["data_efficiency"] = {"linear": rows, "mlp": rows}
    found["elsewhere"] = {"gtzan": {**found, "data": {"name": "gtzan", "manifest": "2" * 64}, "elsewhere": {}}}
    (run / "metrics.json").write_text(json.dumps(found))
    return run


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(evaluated, tmp_path / "run")
    return tmp_path / "run"


def test_the_page_shows_what_was_measured(run: Path, command: Command) -> None:
    ran = command("report", run)
    assert (ran.code, ran.err) == (0, "") and f"{run}/report.html" in ran.out
    shown, metrics = elements(run).text, json.loads((run / "metrics.json").read_text())
    tagging, retrieval = metrics["tagging"], metrics["retrieval"]
    low, high = tagging["intervals"]["roc_auc"]
    assert f"{tagging['roc_auc']:.3f} [{low:.3f}, {high:.3f}]" in shown
    assert f"{metrics['probes']['mlp']['pr_auc']:.3f} ± {metrics['probes']['mlp']['spread']['pr_auc']:.3f}" in shown
    for rule in (retrieval, retrieval["with_duplicates"], retrieval["strict"]):
        assert f"{rule['recall_at_5']:.3f} [" in shown and f"{rule['chance_at_5']:.3f}" in shown
    for row in tagging["by_tag"]:
        assert f"{row['roc_auc']:.3f}" in shown
    for example in metrics["examples"]:
        assert f"“{example['query']}”" in shown
    labels = {a.get("aria-label") for tag, a in elements(run).found if tag == "svg"}
    assert len(labels) == 5 and any("plane" in str(label) for label in labels)


def test_ours_stand_under_the_published_row_of_their_configuration(run: Path, command: Command) -> None:
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["model"]["text"] = {"kind": "pretrained"}
    assert (recipe["objective"]["kind"], recipe["text"]["representation"]) == ("info_nce", "stochastic")
    (run / "recipe.json").write_text(json.dumps(recipe))
    assert command("report", run).code == 0
    table = table_of(run, "Table 2 of")
    published = ["Contrastive", "BERT base", "Stochastic", "89.8 / 38.0", "84.8 / 7.7"]
    place = table.index([*published, "10.2", "29.8", "42.8", "18.7", "13"])  # the paper's Table 2, last row
    assert len(table) == 12 and place == 10
    found = json.loads((run / "metrics.json").read_text())
    areas = f"{100 * found['tagging']['roc_auc']:.1f} / {100 * found['tagging']['pr_auc']:.1f}"
    assert table[11][:5] == ["demo, small", "BERT base", "Stochastic", areas, areas]
    assert table[11][7] == f"{100 * found['retrieval']['recall_at_10']:.1f}"
    of_gtzan = table_of(run, "Table 4 of")
    assert of_gtzan[0] == ["", "GZ, ACC"] and of_gtzan[1] == ["TTMR, zero-shot", "87.93"]


def table_of(run: Path, words: str) -> list[list[str]]:
    """The rows of the table whose caption has these words."""
    text = (run / "report.html").read_text()
    table = next(t for t in re.findall(r"<table>.*?</table>", text, re.DOTALL) if words in t)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


def test_other_runs_stand_beside(run: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(run, tmp_path / "other")
    recipe = json.loads((run / "recipe.json").read_text())
    (tmp_path / "other" / "recipe.json").write_text(json.dumps({**recipe, "name": "another"}))
    assert command("report", run, "--beside", tmp_path / "other").code == 0
    names = [row[0] for row in table_of(run, "Table 2 of")]
    assert names[-2:] == ["demo, small", "another, small"]


def test_equal_runs_give_equal_bytes(run: Path, tmp_path: Path, command: Command) -> None:
    assert command("report", run).code == 0
    first = (run / "report.html").read_bytes()
    assert command("report", run).code == 0 and (run / "report.html").read_bytes() == first
    shutil.copytree(run, tmp_path / "elsewhere" / "run")
    assert command("report", tmp_path / "elsewhere" / "run").code == 0
    assert (tmp_path / "elsewhere" / "run" / "report.html").read_bytes() == first


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"&"


def test_nothing_shown_is_markup(run: Path, command: Command) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    for row in metrics["tagging"]["by_tag"]:
        row.update(tag=EVIL, category=EVIL)
    metrics["tagging"]["by_category"] = {EVIL: metrics["tagging"]["by_category"]["other"]}
    metrics["tagging"]["by_group"] = metrics["tagging"]["by_category"]
    for example in metrics["examples"]:
        example["query"] = EVIL
        for track in example["tracks"]:
            track.update(title=EVIL, artist=EVIL, tags=[EVIL], audio_uri=EVIL, track_id=EVIL)
    metrics["notes"] = metrics["elsewhere"]["gtzan"]["notes"] = [EVIL]
    metrics["elsewhere"]["gtzan"]["trained_on"] = {"artists": 1, "tracks": 1, "first": [EVIL]}
    metrics["elsewhere"][EVIL] = metrics["elsewhere"].pop("gtzan")
    metrics.update(split=EVIL, scheme=EVIL)
    (run / "metrics.json").write_text(json.dumps(metrics))
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps({**recipe, "name": EVIL, "description": EVIL}))
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    (run / "history.jsonl").write_text("".join(json.dumps({**row, EVIL: 1.0}) + "\n" for row in rows))
    assert command("report", run).code == 0
    shown = elements(run)
    assert not {tag for tag, _ in shown.found} & {"script", "img", "iframe", "link"}
    assert not [a for _, attributes in shown.found for a in attributes if a.startswith("on")]
    assert "alert(1)" in shown.text
    policy = next(a["content"] for tag, a in shown.found if tag == "meta" and "http-equiv" in a)
    assert policy and "default-src 'none'" in policy and "script-src" not in policy


def test_another_task_is_shown_by_what_it_tells(run: Path, command: Command) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    areas = {"roc_auc": 0.811, "pr_auc": 0.312}
    metrics = {
        **{key: metrics[key] for key in ("model", "split", "data", "tracks", "tracks_without_clip", "notes")},
        "retrieval": None,
        "crops": metrics["retrieval"]["strict"],
        "tagging": {**areas, "pr_auc_chance": 0.1, "tags": 2, "tracks": 20, "tags_without_positives": 0}
        | {
            "tags_without_negatives": 0,
            "intervals": {},
            "by_category": {},
            "by_tag": {"harp": {**areas, "tracks": 4}},
        },
    }
    metrics["tagging"]["by_category"] = {"other": {**areas, "tags": 2}}
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert command("report", run).code == 0
    shown = elements(run).text
    assert "0.811" in shown and "harp" in shown and "Crop to crop" in shown


def test_music_is_linked_where_it_lies(run: Path, tmp_path: Path, command: Command) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    tracks = [track for example in metrics["examples"] for track in example["tracks"]]
    tracks[0]["audio_uri"] = "a folder/Ünïcode #1?.flac"
    tracks[1]["audio_uri"] = "../secret.flac"
    tracks[2]["audio_uri"] = "javascript:alert(1)"
    tracks[3]["audio_uri"] = "link.flac"
    (run / "metrics.json").write_text(json.dumps(metrics))
    music = tmp_path / "music"
    (music / "a folder").mkdir(parents=True)
    (music / "a folder" / "Ünïcode #1?.flac").write_bytes(b"")
    (tmp_path / "secret.flac").write_bytes(b"")
    (music / "link.flac").symlink_to(tmp_path / "secret.flac")
    assert command("report", run, "--audio", music).code == 0
    sources = {a["src"] for tag, a in elements(run).found if tag == "audio"}
    assert len(sources) == 1
    (source,) = sources
    assert source and not source.startswith("/") and "?" not in source and "#" not in source
    assert (run / unquote(source)).resolve() == (music / "a folder" / "Ünïcode #1?.flac").resolve()


def test_figures_of_other_weights_are_not_shown(run: Path, command: Command) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**metrics, "model": "0" * 64}))
    assert command("report", run).code == 0
    shown = elements(run).text
    assert "trained further since it was evaluated" in shown and "Joint space" not in shown
    (run / "metrics.json").unlink()
    assert command("report", run).code == 0
    assert "It was not evaluated" in elements(run).text and "best validation loss" in elements(run).text


def test_what_is_no_run_is_told(run: Path, tmp_path: Path, dataset: Path, command: Command) -> None:
    ran = command("report", tmp_path / "nothing")
    assert ran.code == 2 and ran.err.count("\n") == 1
    ran = command("report", dataset, "--audio", tmp_path)
    assert ran.code == 2 and "--beside and --audio go with a run directory" in ran.err
    (run / "history.jsonl").write_text("{\n")
    ran = command("report", run)
    assert ran.code == 1 and "history.jsonl: line 1 is damaged" in ran.err


def test_the_plane_keeps_neighbours_and_is_the_same_every_time() -> None:
    pytest.importorskip("umap")
    from train.report.layout import plane

    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 16) * 8, 12, axis=0)
    vectors: npt.NDArray[np.float32] = (centres + rng.normal(0, 0.3, centres.shape)).astype(np.float32)
    points = plane(vectors)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag([np.inf] * len(points))
    assert (distances.argmin(axis=1) // 12 == np.arange(len(points)) // 12).all()
    np.testing.assert_array_equal(plane(vectors), points)
