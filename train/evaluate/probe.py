"""Probes: how much of a dataset's tags frozen embeddings tell (TTMR 4.2: linear, and one hidden layer of 512).

The grid is the published one. Its best entry, and the epoch at which each training stops, are chosen on the valid
split; the test split is measured once for each of three seeds.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.data.order import permutation
from train.evaluate.bootstrap import tagging_intervals
from train.evaluate.tagging import tagging_metrics

Vectors = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Kind = Literal["linear", "mlp"]

HIDDEN = 512
SEEDS = (0, 1, 2)
_EPOCHS, _PATIENCE = 100, 10


@dataclass(frozen=True)
class Entry:
    """One entry of the grid."""

    kind: Kind
    batch_size: int
    lr: float
    dropout: float
    norm: bool


@dataclass(frozen=True)
class Rows:
    """Embeddings (N, D), their tags bool (N, T) and artists."""

    vectors: Vectors
    labels: Flags
    artists: Sequence[str]


def grid(kind: Kind) -> list[Entry]:
    """The published grid of a probe."""
    sizes, rates = ((64, 512), (1e-2, 1e-3)) if kind == "linear" else ((16, 64, 512), (1e-3, 5e-4))
    # A norm is varied for the linear probe alone.
    norms = (False, True) if kind == "linear" else (False,)
    return [Entry(kind, *values) for values in itertools.product(sizes, rates, (0.0, 0.25), norms)]


def probe(
    kind: Kind,
    parts: Mapping[str, Rows],
    categories: Sequence[str],
    advance: Callable[[], None] = lambda: None,
    entries: Sequence[Entry] | None = None,
) -> dict[str, Any]:
    """Train the grid on `train`, choose on `valid`, measure on `test`.

    Args:
        parts: the three splits; tags are columns of all.
        categories: of each tag.
        advance: called after each training.
        entries: another grid than the published.

    Returns:
        `roc_auc` and `pr_auc` of the test split, the mean over seeds; `spread`, the standard deviations over them;
        `intervals` of the first seed; `chosen`, the entry; `by_category`, of the first seed; the counts of
        `tagging_metrics`.

    Raises:
        ValueError: a split without rows, or a valid split in which no tag can be measured.
    """
    for name, rows in parts.items():
        if not len(rows.vectors):
            raise ValueError(f"{name} has no rows")
    best: tuple[float, Entry] | None = None
    for entry in entries or grid(kind):
        score, _ = _trained(entry, parts, SEEDS[0], categories)
        advance()
        if best is None or score > best[0]:
            best = (score, entry)
    assert best is not None
    found = []
    test = parts["test"]
    for seed in SEEDS:
        _, model = _trained(best[1], parts, seed, categories)
        advance()
        scores = _scores(model, test.vectors)
        found.append((tagging_metrics(scores, test.labels, categories), scores))
    figures = {name: [metrics[name] for metrics, _ in found] for name in ("roc_auc", "pr_auc")}
    if any(value is None for values in figures.values() for value in values):
        raise ValueError("no tag of test has both tracks with and without it")
    return {
        **found[0][0],
        **{name: float(np.mean(values)) for name, values in figures.items()},
        "spread": {name: float(np.std(values)) for name, values in figures.items()},
        "intervals": tagging_intervals(found[0][1], test.labels, test.artists),
        "chosen": asdict(best[1]),
        "seeds": len(SEEDS),
    }


def trainings(kind: Kind) -> int:
    """How often `probe` trains."""
    return len(grid(kind)) + len(SEEDS)


def _model(entry: Entry, width: int, tags: int) -> nn.Module:
    layers: list[nn.Module] = [nn.LayerNorm(width)] if entry.norm else []
    if entry.kind == "mlp":
        layers += [nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(entry.dropout), nn.Linear(HIDDEN, tags)]
    else:
        layers += [nn.Dropout(entry.dropout), nn.Linear(width, tags)]
    return nn.Sequential(*layers)


def _trained(
    entry: Entry, parts: Mapping[str, Rows], seed: int, categories: Sequence[str]
) -> tuple[float, nn.Module]:
    """The valid split's best PR-AUC over the epochs, and the weights that reached it."""
    train, valid = parts["train"], parts["valid"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(entry, train.vectors.shape[1], train.labels.shape[1])
        optimiser = torch.optim.Adam(model.parameters(), lr=entry.lr)
        vectors, labels = torch.from_numpy(train.vectors), torch.from_numpy(train.labels).float()
        best, kept, bad = -1.0, copy.deepcopy(model.state_dict()), 0
        for epoch in range(_EPOCHS):
            model.train()
            for rows in _batches(len(vectors), entry.batch_size, seed, epoch):
                optimiser.zero_grad(set_to_none=True)
                loss = F.binary_cross_entropy_with_logits(model(vectors[rows]), labels[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            score = tagging_metrics(_scores(model, valid.vectors), valid.labels, categories)["pr_auc"]
            if score is None:
                raise ValueError("no tag of valid has both tracks with and without it")
            if score > best:
                best, kept, bad = score, copy.deepcopy(model.state_dict()), 0
            else:
                bad += 1
                if bad >= _PATIENCE:
                    break
    model.load_state_dict(kept)
    return best, model


def _batches(count: int, size: int, seed: int, epoch: int) -> Iterator[Tensor]:
    order = torch.from_numpy(permutation(count, seed, epoch))
    yield from torch.split(order, size)


def _scores(model: nn.Module, vectors: Vectors) -> Vectors:
    model.eval()
    with torch.no_grad():
        scores: Vectors = model(torch.from_numpy(vectors)).numpy()
    return scores
