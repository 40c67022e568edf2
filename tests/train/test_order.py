"""The order of an epoch: every item once, the same batches however many ranks, from any step on."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.order import EpochOrder, batch_size_for, permutation, rank_items


@given(count=st.integers(0, 300), seed=st.integers(0, 2**32), epoch=st.integers(0, 1000))
def test_a_permutation_holds_every_item_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(permutation(count, seed, epoch).tolist()) == list(range(count))


def test_the_permutation_is_fixed_for_ever() -> None:
    assert permutation(8, 0, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert permutation(50, 0, 0).tolist() != permutation(50, 0, 1).tolist()
    assert permutation(50, 0, 0).tolist() != permutation(50, 1, 0).tolist()


def test_every_position_is_equally_likely() -> None:
    firsts = np.bincount([permutation(5, 3, epoch)[0] for epoch in range(2000)], minlength=5)
    assert firsts.min() > 330 and firsts.max() < 470  # 400 ± 3.9 standard deviations


@pytest.mark.parametrize(("world", "per_rank", "count"), list(product(range(1, 9), (1, 2, 3), (24, 25, 47, 48))))
def test_ranks_share_the_same_global_batches(world: int, per_rank: int, count: int) -> None:
    batch = world * per_rank
    whole = EpochOrder(count, batch, 7)
    parts = [EpochOrder(count, batch, 7, rank=rank, world_size=world) for rank in range(world)]
    seen: list[int] = []
    for step in range(whole.steps):
        joined = np.concatenate([part.share(2, step) for part in parts])
        assert joined.tolist() == whole.batch(2, step).tolist()
        seen.extend(joined.tolist())
    assert len(set(seen)) == len(seen) == count // batch * batch
    assert set(seen) <= set(range(count))


@pytest.mark.parametrize(("world", "count"), list(product(range(1, 10), range(0, 21))))
def test_evaluation_visits_every_item_exactly_once(world: int, count: int) -> None:
    visited = np.concatenate([rank_items(count, rank, world) for rank in range(world)])
    assert sorted(visited.tolist()) == list(range(count))


@given(count=st.integers(1, 200), batch=st.integers(1, 20), epoch=st.integers(0, 50), data=st.data())
def test_any_step_can_be_sought(count: int, batch: int, epoch: int, data: st.DataObject) -> None:
    order = EpochOrder(count, batch, 3)
    if not order.steps:
        with pytest.raises(IndexError):
            order.batch(epoch, 0)
        return
    walked = [order.batch(epoch, step).tolist() for step in range(order.steps)]
    step = data.draw(st.integers(0, order.steps - 1))
    assert EpochOrder(count, batch, 3).batch(epoch, step).tolist() == walked[step]


@given(count=st.integers(0, 500), wanted=st.integers(1, 64), world=st.integers(1, 8))
def test_a_batch_fits_the_items_and_the_ranks(count: int, wanted: int, world: int) -> None:
    batch = batch_size_for(count, wanted, world)
    assert batch % world == 0 and batch <= min(count, wanted)
    assert min(count, wanted) - batch < world


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        EpochOrder(10, 5, 0, world_size=2)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        EpochOrder(10, 4, 0, rank=2, world_size=2)
