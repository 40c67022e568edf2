"""InfoNCE against loops, and on two processes against one."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from schemas.errors import UsageError
from train.objectives import known_objectives, objective_settings
from train.objectives.info_nce import Objective, Settings, info_nce


def unit(count: int, seed: int) -> torch.Tensor:
    """Random unit rows, double (count, 6)."""
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=1)


def by_loops(audio: torch.Tensor, text: torch.Tensor, scale: float, relation: torch.Tensor) -> float:
    """Both cross-entropies, one probability at a time."""
    scores = np.exp(scale * (audio @ text.T).numpy())
    count = len(scores)
    of_audio = of_text = 0.0
    for i in range(count):
        right = [j for j in range(count) if relation[i, j]]
        of_audio += sum(-math.log(scores[i, j] / scores[i].sum()) for j in right) / len(right)
        right = [j for j in range(count) if relation[j, i]]
        of_text += sum(-math.log(scores[j, i] / scores[:, i].sum()) for j in right) / len(right)
    return (of_audio + of_text) / (2 * count)


@settings(deadline=None)
@given(count=st.integers(1, 9), seed=st.integers(0, 1000), scale=st.floats(0.5, 20))
def test_info_nce_is_its_formula(count: int, seed: int, scale: float) -> None:
    audio, text = unit(count, seed), unit(count, seed + 1)
    relation = torch.rand(count, count, generator=torch.Generator().manual_seed(seed)) < 0.3
    relation |= torch.eye(count, dtype=torch.bool)
    found = float(info_nce(audio, text, torch.tensor(scale, dtype=torch.float64), relation))
    assert found == pytest.approx(by_loops(audio, text, scale, relation), rel=1e-9)


def test_with_one_positive_it_is_cross_entropy_both_ways() -> None:
    audio, text = unit(7, 0), unit(7, 1)
    logits, own = 5 * audio @ text.T, torch.arange(7)
    usual = (torch.nn.functional.cross_entropy(logits, own) + torch.nn.functional.cross_entropy(logits.T, own)) / 2
    found = info_nce(audio, text, torch.tensor(5.0, dtype=torch.float64), torch.eye(7, dtype=torch.bool))
    assert float(found) == pytest.approx(float(usual), rel=1e-12)


def test_equal_captions_as_positives_are_not_pushed_apart() -> None:
    text = unit(1, 1).repeat(2, 1)
    audio = unit(1, 2).repeat(2, 1)
    both = torch.ones(2, 2, dtype=torch.bool)
    scale = torch.tensor(5.0, dtype=torch.float64)
    audio.requires_grad_()
    info_nce(audio, text, scale, both).backward()  # type: ignore[no-untyped-call]
    assert audio.grad is not None and audio.grad.abs().max() < 1e-12


def test_the_temperature_starts_where_told_learns_and_is_clamped_without_dying() -> None:
    objective = Objective(Settings(temperature=0.2, min_temperature=0.1))
    assert objective.figures()["temperature"] == pytest.approx(0.2)
    with torch.no_grad():
        objective.log_scale.fill_(50.0)
    objective.after_step()
    assert objective.figures()["temperature"] == pytest.approx(0.1)
    wrong = torch.eye(3).roll(1, 0)
    objective(torch.eye(3), wrong, torch.eye(3, dtype=torch.bool)).backward()
    assert objective.log_scale.grad is not None and float(objective.log_scale.grad) > 0.1
    assert not Objective(Settings(learn_temperature=False)).log_scale.requires_grad


def test_an_objective_is_found_by_its_module() -> None:
    assert known_objectives() == ["info_nce"]
    with pytest.raises(UsageError, match=r"objective.kind: no objective 'infonce'; did you mean 'info_nce'"):
        objective_settings({"kind": "infonce"}, "r.yaml")
    with pytest.raises(UsageError, match=r"r.yaml: objective.temprature: unknown key; did you mean 'temperature'"):
        objective_settings({"temprature": 1}, "r.yaml")


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    script = Path(__file__).parent / "two_ranks.py"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    for devices in ("1", "2"):
        command = [sys.executable, str(script), str(tmp_path), devices]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(tmp_path / f"grads-{n}.safetensors") for n in (1, 2))
    assert set(one) == set(two)
    assert "grad.objective.log_scale" in one and any("norm1.running_var" in name for name in one)
    for name, expected in one.items():
        if float(expected.norm()) > 1e-5:
            ratio = float((two[name] * expected).sum() / (expected * expected).sum())
            assert ratio == pytest.approx(1.0, abs=1e-4), name
        torch.testing.assert_close(two[name], expected, rtol=1e-3, atol=1e-5)
