"""Matching against brute force, and what must not match."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.recordings import match as matching
from pipelines.recordings.match import Matches, best_partners, match, united

Prints = list[npt.NDArray[np.uint32]]


def noise(draws: np.random.Generator, frames: int) -> npt.NDArray[np.uint32]:
    return draws.integers(0, 1 << 32, frames, dtype=np.uint32)


def blurred(draws: np.random.Generator, hashes: npt.NDArray[np.uint32], error: float) -> npt.NDArray[np.uint32]:
    """Each bit flipped with the probability."""
    flips = draws.random((len(hashes), 32)) < error
    return hashes ^ np.packbits(flips, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)


def matched(prints: Prints, max_error: float = 0.25, min_overlap: int = 80) -> Matches:
    starts = np.cumsum([0, *map(len, prints)]).astype(np.int64)
    return match(
        np.concatenate([*prints, np.empty(0, np.uint32)]), starts, max_error=max_error, min_overlap=min_overlap
    )


def pairs(found: Matches) -> list[tuple[int, int]]:
    return list(zip(found.one.tolist(), found.other.tolist(), strict=True))


@hypothesis_settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(-150, 150), st.sampled_from([0.0, 0.03, 0.07]))
def test_a_blurred_shifted_copy_is_found_with_its_offset_and_its_error(seed: int, shift: int, error: float) -> None:
    draws = np.random.default_rng(seed)
    whole = noise(draws, 700)
    one, other = whole[150:550], blurred(draws, whole[150 - shift : 550 - shift], error)
    found = matched([noise(draws, 400), one, noise(draws, 300), other])
    assert pairs(found) == [(1, 3)]
    assert found.shift.tolist() == [shift]
    overlap = 400 - abs(shift)
    assert found.overlap.tolist() == [overlap]
    differing = np.bitwise_count(one[max(0, -shift) :][:overlap] ^ other[max(0, shift) :][:overlap]).mean() / 32
    assert found.error[0] == pytest.approx(differing)


def test_the_parts_in_which_hashes_are_sorted_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(1)
    prints = [noise(draws, 300) for _ in range(20)]
    prints += [blurred(draws, hashes, 0.08) for hashes in prints[:10]]
    whole = matched(prints)
    assert pairs(whole) == [(n, n + 20) for n in range(10)]
    monkeypatch.setattr(matching, "PART_HASHES", 500)
    parts = matched(prints)
    for name in Matches.__annotations__:
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_a_recording_that_stands_a_hundred_times_is_one_group() -> None:
    draws = np.random.default_rng(2)
    whole = noise(draws, 400)
    prints = [noise(draws, 300) for _ in range(30)] + [blurred(draws, whole, 0.05) for _ in range(100)]
    found = matched(prints)
    same = united(np.arange(130), found.one, found.other)
    assert same.tolist() == [*range(30), *[30] * 100]


def test_rests_steady_tones_and_short_overlaps_are_no_recording() -> None:
    draws = np.random.default_rng(3)
    rest, tone = np.zeros(300, np.uint32), np.full(300, 0xFFFFFFFF, np.uint32)
    ends = noise(draws, 40)
    prints = [rest, rest.copy(), tone, tone.copy()]
    prints += [np.concatenate([noise(draws, 300), ends]), np.concatenate([ends, noise(draws, 300)])]
    prints += [np.concatenate([rest, noise(draws, 100)]), np.concatenate([rest, noise(draws, 100)])]
    assert pairs(matched(prints)) == []


def test_nothing_and_one_track_match_nothing() -> None:
    for prints in ([], [noise(np.random.default_rng(4), 300)], [np.empty(0, np.uint32)] * 3):
        assert pairs(matched(prints)) == []


def test_groups_unite_what_is_said_and_what_is_heard() -> None:
    said = np.array([0, 1, 1, 2, 3, 4])
    assert united(said, np.array([2, 4]), np.array([4, 5])).tolist() == [0, 1, 1, 3, 1, 1]


def test_the_best_partner_is_the_most_similar() -> None:
    one, other = np.array([0, 0, 1]), np.array([1, 2, 2])
    found = Matches(one, other, np.zeros(3, np.int64), np.array([0.2, 0.1, 0.1]), np.array([100, 100, 100]))
    assert best_partners(found, 4).tolist() == [1, 2, 1, -1]
