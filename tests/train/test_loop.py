"""What the loop keeps, averages, tells and survives."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from schemas.errors import UsageError
from tests.conftest import Command
from train import cli
from train.loop.average import Average
from train.recipe import load_recipe
from train.tasks import task_module

ROOT = Path(__file__).parents[2]
COMPARED = ("history.jsonl", "model.safetensors", "checkpoints/last.safetensors", "state.json")


def history(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's history."""
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def state(run: Path) -> dict[str, Any]:
    """The run's state.json."""
    found: dict[str, Any] = json.loads((run / "state.json").read_text())
    return found


def started(data: Path, out: Path, settings: Sequence[str], before: str = "") -> subprocess.Popen[str]:
    """A training in a process of its own, with its output in `out`.log."""
    call = f"cli.train('demo', {str(data)!r}, {str(out)!r}, resume=True, settings={list(settings)!r})"
    program = f"from train import cli\n{before}\nif __name__ == '__main__':\n    {call}\n"
    script = out.with_suffix(".py")
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with out.with_suffix(".log").open("w") as log:
        return subprocess.Popen([sys.executable, str(script)], env=environment, text=True, stdout=log, stderr=log)


def wait_for(run: Path, step: int, running: subprocess.Popen[str]) -> None:
    """Wait until a run has saved a step."""
    deadline = time.monotonic() + 240
    while not (run / "checkpoints/last.safetensors").exists() or state(run)["step"] < step:
        assert running.poll() is None and time.monotonic() < deadline, run.with_suffix(".log").read_text()
        time.sleep(0.005)


def assert_equal(one: Path, other: Path) -> None:
    """Two runs hold the same bytes, but for clocks and machines."""
    best = [path.relative_to(one).as_posix() for path in sorted(one.glob("best/*"))]
    assert best == [path.relative_to(other).as_posix() for path in sorted(other.glob("best/*"))]
    for name in (*COMPARED, *best):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def trained(data: Path, out: Path, settings: Sequence[str], *more: str, resume: bool = False) -> Path:
    """A training in this process."""
    cli.train("demo", str(data), str(out), resume=resume, settings=[*settings, "machine.threads=1", *more])
    return out


def test_the_average_is_the_recursion_that_it_says() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = Average(network, 0.5)
    expected = {name: tensor.double().numpy().copy() for name, tensor in network.state_dict().items()}
    for step in range(1, 8):
        for parameter in network.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        network(torch.randn(8, 3))
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            moving = tensor.is_floating_point()
            now = tensor.double().numpy()
            expected[name] = decay * expected[name] + (1 - decay) * now if moving else now.copy()
    for name, value in expected.items():
        assert np.allclose(average.tensors[name].numpy(), value, atol=1e-6), name
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with average.applied(network):
        assert all(torch.equal(average.tensors[name], tensor) for name, tensor in network.state_dict().items())
    assert all(torch.equal(own[name], tensor) for name, tensor in network.state_dict().items())


def test_the_averaged_weights_are_validated_and_kept_and_change_no_step(
    dataset: Path, tmp_path: Path, small: tuple[str, ...]
) -> None:
    settings = [*small, "training.epochs=4"]
    plain = trained(dataset, tmp_path / "plain", settings)
    averaged = trained(dataset, tmp_path / "averaged", settings, "training.ema=0.8")
    losses = [[row["loss"] for row in history(run)] for run in (plain, averaged)]
    assert losses[0] == losses[1]
    valid = [
        [row["valid_loss"] for row in history(run) if row["valid_loss"] is not None] for run in (plain, averaged)
    ]
    assert not set(valid[0]) & set(valid[1])
    assert state(averaged)["best_step"] == state(averaged)["step"]  # so that checkpoint and model are of one step
    checkpoint, model = (
        load_file(averaged / "checkpoints/last.safetensors"),
        load_file(averaged / "model.safetensors"),
    )
    for name, tensor in model.items():
        assert np.array_equal(tensor, checkpoint[f"average.{name}"]), name
    assert any(not np.array_equal(tensor, checkpoint[f"model.{name}"]) for name, tensor in model.items())


@pytest.mark.parametrize("by", ["loss", "recall_at_10"])
def test_the_best_stay(dataset: Path, tmp_path: Path, small: tuple[str, ...], by: str) -> None:
    settings = [*small, "training.epochs=6", "training.patience=null", "optimiser.lr=0.02"]
    run = trained(dataset, tmp_path / "run", settings, "training.keep_best=3", f"training.select_by={by}")
    rows = [row for row in history(run) if row["valid_loss"] is not None]
    assert len(rows) == 6
    found = state(run)
    if by == "loss":
        ranked = sorted(rows, key=lambda row: (row["valid_loss"], row["step"]))
        assert "selected_by" not in found and "valid_recall_at_10" not in rows[0]
    else:
        ranked = sorted(rows, key=lambda row: (-row["valid_recall_at_10"], row["step"]))
        assert all(0 <= row["valid_recall_at_10"] <= 1 for row in rows)
        assert found["selected_by"] == by and found["best_value"] == ranked[0]["valid_recall_at_10"]
    assert [path.name for path in sorted((run / "best").iterdir())] == sorted(
        f"step-{row['step']:08d}.safetensors" for row in ranked[:3]
    )
    assert found["best_step"] == ranked[0]["step"] and found["best_valid_loss"] == ranked[0]["valid_loss"]
    first = run / "best" / f"step-{ranked[0]['step']:08d}.safetensors"
    assert first.read_bytes() == (run / "model.safetensors").read_bytes()


@pytest.mark.parametrize("representation", ["sentence", "vocabulary"])
def test_what_weights_are_chosen_by_is_counted_right(
    dataset: Path, small: tuple[str, ...], representation: str
) -> None:
    by = {"sentence": "recall_at_10", "vocabulary": "roc_auc"}[representation]
    settings = [*small, f"text.representation={representation}", f"training.select_by={by}"]
    recipe = load_recipe("demo", settings)
    material: Any = task_module(recipe.task).opened(str(dataset), recipe)
    sources, tags = material.valid.sources, material.vocabulary
    torch.manual_seed(0)
    audio, text = torch.randn(len(sources), 4), torch.randn(len(sources) if by == "recall_at_10" else len(tags), 4)
    (found,) = material.figures([audio, text]).items()
    scores = (text @ audio.T).numpy()
    if by == "recall_at_10":
        hits = 0
        for asked, source in enumerate(sources):
            best = sorted(range(len(sources)), key=lambda track: -scores[asked, track])[:10]
            hits += any(set(sources[track].tags) == set(source.tags) for track in best)
        assert 0 < hits < len(sources)
        expected = hits / len(sources)
    else:
        held = np.array([[tag in source.tags for source in sources] for tag in tags])
        areas = [roc_auc_score(has, row) for has, row in zip(held, scores, strict=True) if 0 < has.sum() < len(has)]
        expected = float(np.mean(areas))
    assert found == (by, pytest.approx(expected))
    assert material.figure_names == (by,)


def test_weights_are_chosen_only_by_what_the_task_tells(
    dataset: Path, tmp_path: Path, small: tuple[str, ...]
) -> None:
    with pytest.raises(
        UsageError, match=r"training\.select_by: no figure 'roc_auc' of this task; known: loss, recall"
    ):
        trained(dataset, tmp_path / "run", small, "training.select_by=roc_auc")
    assert not (tmp_path / "run").exists()


def test_a_run_killed_at_any_moment_goes_on_as_if_never_stopped(
    dataset: Path, tmp_path: Path, small: tuple[str, ...]
) -> None:
    settings = ["training.epochs=32", "training.checkpoint_every=2", "training.ema=0.9", "training.keep_best=2"]
    settings += ["training.patience=null", "machine.threads=1"]
    script = [sys.executable, str(Path(__file__).with_name("killed.py"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [str(dataset), str(tmp_path), json.dumps([*small, *settings])]
    done = subprocess.run([*script, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert [ended["signal"] for ended in told["killed"]] == [signal.SIGKILL] * 10
    steps = [ended["step"] for ended in told["killed"]]
    assert steps == sorted(steps) and len(set(steps)) > 4 and steps[-1] < 96, steps
    assert_equal(tmp_path / "cut", tmp_path / "whole")
    assert state(tmp_path / "cut")["finished"] and not [*(tmp_path / "cut").rglob("_tmp-*")]
    assert told["asked"] == {"code": 0, "step": told["asked"]["step"]} and 0 < told["asked"]["step"] < 96
    assert_equal(tmp_path / "asked", tmp_path / "whole")
    said = " ".join((tmp_path / "asked.log").read_text().split())
    step = told["asked"]["step"]
    assert f"Stopped by SIGTERM after step {step} of 96, and saved; the same command with --resume" in said


def test_sigterm_ends_every_process_of_a_training(dataset: Path, tmp_path: Path, small: tuple[str, ...]) -> None:
    settings = [*small, "training.epochs=400", "training.checkpoint_every=4", "training.patience=null"]
    settings += ["machine.threads=1", "machine.devices=2", "machine.accelerator=cpu"]
    running = started(dataset, tmp_path / "run", settings)
    wait_for(tmp_path / "run", 4, running)
    running.send_signal(signal.SIGTERM)
    assert running.wait(240) == 0, (tmp_path / "run.log").read_text()
    said = " ".join((tmp_path / "run.log").read_text().split())
    assert f"Stopped by SIGTERM after step {state(tmp_path / 'run')['step']} of 1200" in said
    assert "Traceback" not in said


def test_compiled_is_the_same_training(
    dataset: Path, tmp_path: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced as the real compiler does, and then run by the same kernels: a compiler takes minutes.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    # A compiler draws dropout's masks by itself.
    settings = [*small, "training.epochs=1", "model.audio.dropout=0", "model.text.dropout=0"]
    plain = trained(dataset, tmp_path / "plain", settings)
    compiled = trained(dataset, tmp_path / "compiled", settings, "machine.compile=true")
    for one, other in zip(history(plain), history(compiled), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert load_file(compiled / "model.safetensors").keys() == load_file(plain / "model.safetensors").keys()


def test_the_history_goes_to_wandb_when_asked(
    dataset: Path, tmp_path: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    words = [word for setting in small for word in ("--set", setting)]
    ran = command(
        "train", "demo", "--data", dataset, "--out", tmp_path / "no", *words, "--set", "machine.wandb=mine"
    )
    assert ran.code == 2 and "machine.wandb: W&B cannot be imported" in ran.err and "pip install wandb" in ran.err
    assert not (tmp_path / "no").exists()
    monkeypatch.delitem(sys.modules, "wandb")
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "wandb.py").write_text(
        "calls = []\n"
        "class Run:\n"
        "    def log(self, row, step): calls.append(('log', row, step))\n"
        "    def finish(self, exit_code): calls.append(('finish', exit_code))\n"
        "def init(**keys):\n"
        "    calls.append(('init', keys))\n"
        "    return Run()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "stub"))
    plain = trained(dataset, tmp_path / "plain", small, "training.epochs=1")
    run = trained(dataset, tmp_path / "run", small, "training.epochs=1", "machine.wandb=mine")
    trained(dataset, run, small, "training.epochs=1", "machine.wandb=mine", resume=True)
    import wandb  # type: ignore[import-not-found]

    kinds = [call[0] for call in wandb.calls]
    assert kinds == ["init", "log", "log", "log", "finish", "init", "finish"]
    first, again = (call[1] for call in wandb.calls if call[0] == "init")
    assert first["project"] == "mine" and first["id"] == again["id"] and first["resume"] == "allow"
    assert first["config"]["training"]["batch_size"] == 16 and "machine" not in first["config"]
    logged = [call for call in wandb.calls if call[0] == "log"]
    assert [step for _, _, step in logged] == [1, 2, 3]
    assert logged[0][1]["loss"] == history(run)[0]["loss"] and 0 <= logged[0][1]["loader_wait"] <= 1
    assert_equal(plain, run)


def test_a_run_says_what_it_ran_on_and_speed_is_in_the_logs_alone(
    dataset: Path, tmp_path: Path, small: tuple[str, ...]
) -> None:
    run = trained(dataset, tmp_path / "run", small, "training.epochs=1")
    (found,) = json.loads((run / "environment.json").read_text())["environments"]
    assert (
        found["from_step"] == 0
        and found["torch"] == torch.__version__
        and found["packages"]["numpy"] == np.__version__
    )
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    assert (found["commit"] or "").rstrip("+") == head
    trained(dataset, run, small, "training.epochs=1", resume=True)
    assert len(json.loads((run / "environment.json").read_text())["environments"]) == 1
    moved = json.loads((run / "environment.json").read_text())
    moved["environments"][0]["device"] = "another"
    (run / "environment.json").write_text(json.dumps(moved))
    trained(dataset, run, small, "training.epochs=1", resume=True)
    environments = json.loads((run / "environment.json").read_text())["environments"]
    assert [each["from_step"] for each in environments] == [0, 3]
    assert not any("speed" in name or "wait" in name for row in history(run) for name in row)
    tensorboard = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = tensorboard.EventAccumulator(str(run / "logs")).Reload()
    names = events.Tags()["scalars"]
    assert {"loss", "valid_loss", "speed/clips_per_s", "speed/loader_wait", "speed/memory_gb"} <= set(names)
    assert all(event.value > 0 for event in events.Scalars("speed/clips_per_s"))
    shutil.rmtree(run)
