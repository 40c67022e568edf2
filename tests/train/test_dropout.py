"""Dropout by sample: right on average, one mask a row, and the same whoever computes the row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.loop.dropout import SampleDropout


def masks(
    step: int, first: int, tracks: int, *, shape: tuple[int, ...] = (), each: int = 1, p: float = 0.3
) -> Tensor:
    """What of a tensor of ones stays, twice in one pass: (2, rows, …)."""
    dropout = SampleDropout(7)
    dropout.begin(step, first, tracks)
    rows = torch.ones(tracks * each, *shape)
    return torch.stack([dropout.dropped(rows, 0.3), dropout.dropped(rows, 0.3)])


def test_a_share_of_each_row_is_dropped_and_the_rest_is_as_much_larger() -> None:
    found = masks(3, 0, 512, shape=(40, 50))
    assert np.unique(found.numpy()).tolist() == [0.0, pytest.approx(1 / 0.7)]
    kept = found.bool().double().reshape(2 * 512, -1).numpy()
    # Of n independent draws the mean is off by a normal of this spread; 5 of them are never seen.
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / kept.size)
    assert np.abs(kept.mean(0) - 0.7).max() < 5 * np.sqrt(0.21 / len(kept))
    assert np.abs(kept.mean(1) - 0.7).max() < 5 * np.sqrt(0.21 / kept.shape[1])
    off = (kept - 0.7) / np.sqrt(0.21)
    for one, other, count in (
        (off[:-1], off[1:], off[1:].size),  # of neighbouring rows
        (off[:, :-1], off[:, 1:], off[:, 1:].size),  # and elements
        (off[:512], off[512:], off[512:].size),  # of two dropouts of one network
    ):
        assert abs((one * other).sum() / count) < 5 / np.sqrt(count)
    between = np.corrcoef(off[:, :300].T) - np.eye(300)
    assert np.abs(between).max() < 6 / np.sqrt(len(off))


def test_a_row_has_the_same_mask_in_every_chunk_and_on_every_rank() -> None:
    whole = masks(5, 0, 8, shape=(6, 4), each=2)
    parts = [masks(5, first, tracks, shape=(6, 4), each=2) for first, tracks in ((0, 3), (3, 3), (6, 2))]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert not torch.equal(masks(6, 0, 8, shape=(6, 4), each=2), whole)
    assert not torch.equal(whole[0], whole[1])
    longer = masks(5, 0, 8, shape=(9, 7), each=2)
    assert torch.equal(longer[:, :, :6, :4], whole)  # as a text that is padded further
    shared = SampleDropout(7)
    shared.begin(5, 0, 4)
    here = shared.dropped(torch.ones(7, 9), 0.5)
    shared.begin(5, 4, 4)
    assert torch.equal(shared.dropped(torch.ones(7, 9), 0.5), here)  # rows that are no tracks': one for all


@pytest.mark.parametrize("masked", [False, True])
def test_attention_without_dropout_is_pytorchs(masked: bool) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 4, 2, 5, 8).unbind()
    hidden = torch.rand(4, 1, 5, 5) < 0.7
    hidden |= torch.eye(5, dtype=torch.bool)
    expected = F.scaled_dot_product_attention(query, key, value, hidden if masked else None)
    dropout = SampleDropout(0)
    dropout.begin(0, 0, 4)
    with dropout.installed(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(dropout, "dropped", lambda rows, p: rows)
        found = F.scaled_dot_product_attention(query, key, value, hidden if masked else None, 0.4)
        added = torch.zeros(4, 1, 5, 5).masked_fill(~hidden, -torch.inf)
        again = F.scaled_dot_product_attention(query, key, value, added if masked else None, 0.4)
    assert torch.allclose(found, expected, atol=1e-6) and torch.allclose(again, expected, atol=1e-6)


def test_every_dropout_of_a_transformer_is_of_the_sample() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.5, batch_first=True, norm_first=True).train()
    rows = torch.randn(6, 5, 8)
    before = F.dropout, F.scaled_dot_product_attention
    dropout = SampleDropout(1)
    with dropout.installed():
        dropout.begin(2, 0, 6)
        whole = layer(rows)
        dropout.begin(2, 4, 2)
        torch.manual_seed(99)
        part = layer(rows[4:])
        dropout.begin(3, 0, 6)
        later = layer(rows)
    assert torch.allclose(whole[4:], part, atol=1e-6)
    assert not torch.allclose(whole, later, atol=1e-3)
    assert (F.dropout, F.scaled_dot_product_attention) == before
    rows.requires_grad_()
    with dropout.installed():
        dropout.begin(2, 0, 6)
        layer(rows).sum().backward()
    assert rows.grad is not None and torch.isfinite(rows.grad).all()
