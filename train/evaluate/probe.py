"""Probes: how much of a dataset's tags frozen embeddings tell (TTMR 4.2: linear, and one hidden layer of 512).

The grid is the published one. Its best entry, and the epoch at which each training stops, are chosen on the valid
split; the test split is measured once for each of three seeds. A curve of data efficiency (VCMR 5.4) is the same
with parts of the train split's labelled tracks.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.data.order import permutation
from train.evaluate.tagging import Vocabulary, macro_areas, measurable, pr_auc, tag_figures

Vectors = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Kind = Literal["linear", "mlp"]

HIDDEN = 512
SEEDS = (0, 1, 2)
_EPOCHS, _PATIENCE = 100, 10
_PART = 1_000_000
"""The epoch whose order says what the parts of the train split are; no training is as long."""
_OF_CURVE = frozenset({"roc_auc", "pr_auc", "tags", "tracks", "intervals", "spread", "seeds", "chosen"})


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
    vocabulary: Vocabulary,
    advance: Callable[[], None] = lambda: None,
    entries: Sequence[Entry] | None = None,
) -> dict[str, Any]:
    """Train the grid on `train`, choose on `valid`, measure on `test`.

    Args:
        parts: the three splits; tags are columns of all.
        vocabulary: of the columns.
        advance: called after each training.
        entries: another grid than the published.

    Returns:
        what `tag_figures` does, on the test split, the mean over seeds; `spread`, the standard deviations of
        the macro averages over them; `seeds`; `chosen`, the entry.

    Raises:
        ValueError: a split without rows, or a valid or test split in which no tag can be measured.
    """
    return _probed(kind, lambda _: parts, vocabulary, advance, entries)


def efficiency(
    kind: Kind,
    parts: Mapping[str, Rows],
    vocabulary: Vocabulary,
    percents: Sequence[float],
    whole: Mapping[str, Any],
    advance: Callable[[], None] = lambda: None,
    entries: Sequence[Entry] | None = None,
) -> list[dict[str, Any]]:
    """Probes trained on parts of the labelled tracks, chosen on the whole valid split: a row for each part.

    For each seed the tracks have one random order, from whose front the parts are taken: a larger one holds all
    smaller ones. See `probe`; beside its macro figures a row has `percent` and `train_tracks`.

    Args:
        percents: of the train split's tracks, each above 0 and at most 100.
        whole: what `probe` found, the row of 100 %.
    """
    rows = []
    for percent in sorted(set(percents)):
        found = whole
        if percent < 100:
            parts_of = partial(_with_part, parts, percent)
            found = _probed(kind, parts_of, vocabulary, advance, entries)
        kept = {key: value for key, value in found.items() if key in _OF_CURVE}
        rows.append({"percent": percent, "train_tracks": _share(len(parts["train"].vectors), percent), **kept})
    return rows


def _share(count: int, percent: float) -> int:
    return max(1, min(count, round(count * percent / 100)))


def _with_part(parts: Mapping[str, Rows], percent: float, seed: int) -> dict[str, Rows]:
    rows = parts["train"]
    count = len(rows.vectors)
    chosen = np.sort(permutation(count, seed, _PART)[: _share(count, percent)])
    return {
        **parts,
        "train": Rows(rows.vectors[chosen], rows.labels[chosen], [rows.artists[row] for row in chosen]),
    }


def _probed(
    kind: Kind,
    parts_of: Callable[[int], Mapping[str, Rows]],
    vocabulary: Vocabulary,
    advance: Callable[[], None],
    entries: Sequence[Entry] | None,
) -> dict[str, Any]:
    """See `probe`. `parts_of`: what is learnt from and measured on under each seed."""
    parts = parts_of(SEEDS[0])
    for name, rows in parts.items():
        if not len(rows.vectors):
            raise ValueError(f"{name} has no rows")
    test = parts["test"]
    if not measurable(test.labels).size:
        raise ValueError("no tag of test has both tracks with and without it")
    best: tuple[float, Entry] | None = None
    for entry in entries or grid(kind):
        score, _ = _trained(entry, parts, SEEDS[0])
        advance()
        if best is None or score > best[0]:
            best = (score, entry)
    assert best is not None
    scores = []
    for seed in SEEDS:
        scores.append(_scores(_trained(best[1], parts_of(seed), seed)[1], test.vectors))
        advance()
    each = [macro_areas(one, test.labels) for one in scores]
    return {
        **tag_figures(scores, test.labels, vocabulary, test.artists),
        "spread": {name: float(np.std([one[name] for one in each])) for name in each[0]},
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


def _trained(entry: Entry, parts: Mapping[str, Rows], seed: int) -> tuple[float, nn.Module]:
    """The valid split's best PR-AUC over the epochs, and the weights that reached it."""
    train, valid = parts["train"], parts["valid"]
    tags = measurable(valid.labels)
    if not tags.size:
        raise ValueError("no tag of valid has both tracks with and without it")
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
            scores = _scores(model, valid.vectors)
            score = float(np.mean([pr_auc(scores[:, tag], valid.labels[:, tag]) for tag in tags]))
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
