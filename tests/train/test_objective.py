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
from train.objectives import known_objectives, objective_module, objective_settings
from train.objectives.base import Pairs
from train.objectives.bce import bce
from train.objectives.info_nce import Objective, Settings, info_nce
from train.objectives.negatives import distance_weights, drawn
from train.objectives.nt_xent import nt_xent
from train.objectives.siglip import siglip
from train.objectives.triplet import triplet


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
    found = float(info_nce(audio, text, torch.tensor(scale, dtype=torch.float64), Pairs.of(relation)))
    assert found == pytest.approx(by_loops(audio, text, scale, relation), rel=1e-9)


def test_with_one_positive_it_is_cross_entropy_both_ways() -> None:
    audio, text = unit(7, 0), unit(7, 1)
    logits, own = 5 * audio @ text.T, torch.arange(7)
    usual = (torch.nn.functional.cross_entropy(logits, own) + torch.nn.functional.cross_entropy(logits.T, own)) / 2
    found = info_nce(audio, text, torch.tensor(5.0, dtype=torch.float64), Pairs.of(torch.eye(7, dtype=torch.bool)))
    assert float(found) == pytest.approx(float(usual), rel=1e-12)


def test_equal_captions_as_positives_are_not_pushed_apart() -> None:
    text = unit(1, 1).repeat(2, 1)
    audio = unit(1, 2).repeat(2, 1)
    both = torch.ones(2, 2, dtype=torch.bool)
    scale = torch.tensor(5.0, dtype=torch.float64)
    audio.requires_grad_()
    info_nce(audio, text, scale, Pairs.of(both)).backward()  # type: ignore[no-untyped-call]
    assert audio.grad is not None and audio.grad.abs().max() < 1e-12


def test_the_temperature_starts_where_told_learns_and_is_clamped_without_dying() -> None:
    objective = Objective(Settings(temperature=0.2, min_temperature=0.1))
    assert objective.figures()["temperature"] == pytest.approx(0.2)
    with torch.no_grad():
        objective.log_scale.fill_(50.0)
    objective.after_step()
    assert objective.figures()["temperature"] == pytest.approx(0.1)
    wrong = torch.eye(3).roll(1, 0)
    objective(torch.eye(3), wrong, Pairs.of(torch.eye(3, dtype=torch.bool))).backward()
    assert objective.log_scale.grad is not None and float(objective.log_scale.grad) > 0.1
    assert not Objective(Settings(learn_temperature=False)).log_scale.requires_grad


def test_an_objective_is_found_by_its_module() -> None:
    assert known_objectives() == ["bce", "info_nce", "nt_xent", "siglip", "triplet"]
    for kind in known_objectives():
        objective = objective_module(kind).Objective(objective_module(kind).Settings())
        audio, text = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1).requires_grad_() for _ in range(2))
        loss = objective(audio, text, Pairs.of(torch.eye(4, dtype=torch.bool)))
        loss.backward()
        assert loss.ndim == 0 and audio.grad is not None and bool(audio.grad.isfinite().all())
        objective.after_step()
        assert all(math.isfinite(value) for value in objective.figures().values())
    with pytest.raises(UsageError, match=r"objective.kind: no objective 'infonce'; did you mean 'info_nce'"):
        objective_settings({"kind": "infonce"}, "r.yaml")
    with pytest.raises(UsageError, match=r"r.yaml: objective.temprature: unknown key; did you mean 'temperature'"):
        objective_settings({"temprature": 1}, "r.yaml")


def some_pairs(rows: int, columns: int, seed: int) -> Pairs:
    """A random relation with a true diagonal, and some of the rest ignored."""
    draws = torch.rand(2, rows, columns, generator=torch.Generator().manual_seed(seed))
    relation = (draws[0] < 0.3) | torch.eye(rows, columns, dtype=torch.bool)
    return Pairs.of(relation, (draws[1] < 0.2) & ~relation)


@given(count=st.integers(2, 7), seed=st.integers(0, 500))
def test_what_is_ignored_leaves_the_denominators(count: int, seed: int) -> None:
    audio, text, pairs = unit(count, seed), unit(count, seed + 1), some_pairs(count, count, seed)
    scores = np.exp(5 * (audio @ text.T).numpy()) * ~pairs.ignored.numpy()
    relation = pairs.relation.numpy()
    expected = 0.0
    for table, true in ((scores, relation), (scores.T, relation.T)):
        chances = table / table.sum(1, keepdims=True)
        expected -= sum(np.log(row[t]).mean() for row, t in zip(chances, true, strict=True)) / (2 * count)
    found = info_nce(audio, text, torch.tensor(5.0, dtype=torch.float64), pairs)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_texts_may_be_more_than_tracks_and_true_of_none() -> None:
    audio, text = unit(2, 0).requires_grad_(), unit(5, 1)
    relation = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 1, 0, 0]]).bool()
    loss = info_nce(audio, text, torch.tensor(5.0, dtype=torch.float64), Pairs.of(relation))
    logits = 5 * audio.detach() @ text.T
    by_row = [-torch.log_softmax(logits, 1)[row, relation[row]].mean() for row in range(2)]
    by_column = [-torch.log_softmax(logits, 0)[relation[:, column], column].mean() for column in (0, 2)]
    expected = (torch.stack(by_row).mean() + torch.stack(by_column).mean()) / 2
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-12)
    loss.backward()  # type: ignore[no-untyped-call]
    assert audio.grad is not None and bool(audio.grad.isfinite().all())


@given(count=st.integers(2, 6), seed=st.integers(0, 500), temperature=st.floats(0.05, 1))
def test_nt_xent_has_every_other_row_of_both_views_below(count: int, seed: int, temperature: float) -> None:
    first, second = unit(count, seed), unit(count, seed + 1)
    pairs = some_pairs(count, count, seed)
    related = (pairs.relation | pairs.ignored).numpy()
    rows = np.concatenate([first.numpy(), second.numpy()])
    total = 0.0
    for i in range(2 * count):
        below = 0.0
        for j in range(2 * count):
            one, other = i % count, j % count
            # Row 0…N−1 is audio, N…2N−1 text: what of the other view (or of a view's own rows) is true of it?
            across = related[one, other] if i < count else related[other, one]
            same_view = (i < count) == (j < count)
            known = (related[one, other] or related[other, one]) if same_view else across
            if j != i and (one == other or not known):
                below += math.exp(float(rows[i] @ rows[j]) / temperature)
        own = math.exp(float(rows[i] @ rows[(i + count) % (2 * count)]) / temperature)
        total -= math.log(own / below)
    found = float(nt_xent(first, second, temperature, pairs))
    assert found == pytest.approx(total / (2 * count), rel=1e-9)


def test_nt_xent_with_one_positive_is_simclrs() -> None:
    first, second = unit(5, 3), unit(5, 4)
    logits = torch.cat([first, second]) @ torch.cat([first, second]).T / 0.1
    logits.fill_diagonal_(-torch.inf)
    usual = torch.nn.functional.cross_entropy(logits, torch.arange(10).roll(5))
    found = nt_xent(first, second, 0.1, Pairs.of(torch.eye(5, dtype=torch.bool)))
    assert float(found) == pytest.approx(float(usual), rel=1e-12)


@given(rows=st.integers(1, 5), columns=st.integers(1, 7), seed=st.integers(0, 500))
def test_siglip_and_bce_are_sums_over_pairs(rows: int, columns: int, seed: int) -> None:
    audio, text, pairs = unit(rows, seed), unit(columns, seed + 1), some_pairs(rows, columns, seed)
    ten, bias = torch.tensor(10.0, dtype=torch.float64), torch.tensor(-3.0, dtype=torch.float64)
    sigmoid = entropy = counted = 0.0
    for i in range(rows):
        for j in range(columns):
            if pairs.ignored[i, j]:
                continue
            counted += 1
            true = bool(pairs.relation[i, j])
            dot = float(audio[i] @ text[j])
            sigmoid += math.log1p(math.exp(-(1 if true else -1) * (10 * dot - 3)))
            chance = 1 / (1 + math.exp(-dot))
            entropy -= math.log(chance if true else 1 - chance)
    assert float(siglip(audio, text, ten, bias, pairs)) == pytest.approx(sigmoid / rows, rel=1e-9)
    assert float(bce(audio, text, pairs)) == pytest.approx(entropy / max(1, counted), rel=1e-9)


def test_a_triplet_costs_what_the_negative_is_too_near() -> None:
    anchors, others = unit(4, 0), unit(4, 1)
    negatives, usable = torch.tensor([1, 2, 3, 0]), torch.tensor([True, True, False, True])
    cosines = (anchors @ others.T).numpy()
    expected = [max(0.0, 0.4 - cosines[i, i] + cosines[i, int(negatives[i])]) for i in (0, 1, 3)]
    assert float(triplet(anchors, others, negatives, usable, 0.4)) == pytest.approx(sum(expected) / 3, rel=1e-9)


def test_negatives_are_weighed_as_pytorch_metric_learning_weighs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its miner draws triplets by its weights; they are taken where it hands them to the drawing."""
    from pytorch_metric_learning.miners import DistanceWeightedMiner
    from pytorch_metric_learning.utils import loss_and_miner_utils

    rows = torch.nn.functional.normalize(torch.randn(24, 16, generator=torch.Generator().manual_seed(5)), dim=1)
    labels = torch.arange(24) // 3
    seen: list[torch.Tensor] = []

    def draw(labels: torch.Tensor, ref_labels: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(weights.double())
        return (torch.zeros(1, dtype=torch.long),) * 3

    monkeypatch.setattr(loss_and_miner_utils, "get_random_triplet_indices", draw)
    DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)(rows, labels)
    ours = distance_weights(rows, rows, labels[:, None] != labels[None, :])
    torch.testing.assert_close(ours, seen[0], rtol=1e-3, atol=1e-6)
    assert int((ours > 0).sum()) > 100


@given(seed=st.integers(0, 200))
def test_only_what_is_allowed_is_drawn(seed: int) -> None:
    anchors, candidates = unit(6, seed), unit(9, seed + 1)
    allowed = torch.rand(6, 9, generator=torch.Generator().manual_seed(seed)) < 0.4
    weights = distance_weights(anchors, candidates, allowed)
    assert not bool(weights[~allowed].any())
    for noise in (0.0, 0.5, 1 - 2**-53):
        chosen = drawn(weights, torch.full((6,), noise, dtype=torch.float64))
        has = allowed.any(1)
        assert bool(allowed[torch.arange(6), chosen][has].all())


def test_draws_follow_the_weights() -> None:
    weights = torch.tensor([[0.1, 0.0, 0.6, 0.3]], dtype=torch.float64).expand(20_000, 4)
    noise = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.bincount(drawn(weights, noise), minlength=4) / 20_000
    torch.testing.assert_close(counts, torch.tensor([0.1, 0.0, 0.6, 0.3]), atol=0.02, rtol=0)


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    script = Path(__file__).parent / "two_ranks.py"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    for devices in ("1", "2"):
        command = [sys.executable, str(script), str(tmp_path), devices]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(tmp_path / f"grads-{n}.safetensors") for n in (1, 2))
    assert set(one) == set(two)
    assert {name.split("/")[0] for name in one} == {*known_objectives(), "views"}
    for kind, name in (("info_nce", "log_scale"), ("siglip", "bias")):
        assert f"{kind}/train/grad.objective.{name}" in one and f"{kind}/chunks/grad.objective.{name}" in one
    assert any("norm1.running_var" in name for name in one)
    assert any(name.startswith("views/train/buffer.audio.blocks.0.1.running_var") for name in one)
    for name, expected in one.items():
        if float(expected.norm()) > 1e-5:
            ratio = float((two[name] * expected).sum() / (expected * expected).sum())
            assert ratio == pytest.approx(1.0, abs=1e-4), name
        torch.testing.assert_close(two[name], expected, rtol=1e-3, atol=1e-5)
    # In chunks as in one piece. Batch normalisation is in eval for it: it alone sees chunks.
    for name in (name for name in one if "/eval/" in name and "buffer" not in name):
        torch.testing.assert_close(
            one[name.replace("/eval/", "/chunks/")], one[name], rtol=1e-3, atol=1e-5, msg=name
        )
