from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits.groups import joined_groups

keys = st.sampled_from(["a", "b", "c", "d", "e", "f", "ä", "A", "", " ", "a ", "nan", "\udcff", "1", "01"])


@given(st.lists(st.tuples(keys, keys, keys), max_size=14), st.integers(1, 3))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_groups_are_the_connected_rows(
    components: Callable[..., list[int]], rows: list[tuple[str, str, str]], width: int
) -> None:
    columns = [[row[place] for row in rows] for place in range(width)]
    assert joined_groups(*columns).tolist() == components(*columns)


def test_a_chain_of_ties_is_one_group() -> None:
    count = 5000
    artists = [f"a{n // 2}" for n in range(count)]
    recordings = [f"r{(n + 1) // 2}" for n in range(count)]
    assert set(joined_groups(artists, recordings).tolist()) == {0}


def test_the_same_word_in_two_columns_ties_nothing() -> None:
    assert joined_groups(["x", "y"], ["y", "x"]).tolist() == [0, 1]


def test_no_rows_have_no_groups() -> None:
    found = joined_groups([], [])
    assert found.shape == (0,)
    assert found.dtype == np.int64
