"""Fingerprints on disk are matched as those in memory are, and go with who put them there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.recordings import match as matching
from pipelines.recordings.match import Matches, match
from pipelines.recordings.spool import Spool
from schemas.errors import DataError


def test_what_was_put_in_comes_out_in_any_part_and_order() -> None:
    hashes = np.arange(1000, dtype=np.uint32)
    with Spool() as spool:
        for piece in (hashes[:10], hashes[:0], hashes[10:]):
            spool.append(piece)
        assert len(spool) == 1000
        for low, high in ((0, 1000), (5, 5), (9, 12), (990, 2000)):
            assert np.array_equal(spool[low:high], hashes[low:high])
        with spool.reordered([(700, 1000), (3, 3), (0, 700)]) as other:
            assert np.array_equal(other[0 : len(other)], np.roll(hashes, 300))


def test_hashes_on_disk_match_as_hashes_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(5)
    prints = [draws.integers(0, 1 << 32, frames, dtype=np.uint32) for frames in [300, 0, *[200] * 30]]
    prints += [piece[20:].copy() for piece in prints[5:20]] + [np.empty(0, np.uint32)]
    starts = np.cumsum([0, *map(len, prints)]).astype(np.int64)
    whole = match(np.concatenate(prints), starts, max_error=0.25, min_overlap=80)
    assert len(whole.one) == 15 and set(whole.shift.tolist()) == {-20}
    # Read by a few tracks, and verified by a pair or two.
    monkeypatch.setattr(matching, "READ_HASHES", 700)
    monkeypatch.setattr(matching, "PART_HASHES", 300)
    with Spool() as spool:
        for piece in prints:
            spool.append(piece)
        parts = match(spool, starts, max_error=0.25, min_overlap=80)
    for name in Matches.__annotations__:
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_a_scratch_folder_without_room_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is full")
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the spool closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    with Spool() as spool, pytest.raises(DataError, match=r"No space left.*TMPDIR"):
        spool.append(np.ones(100, np.uint32))


def test_nothing_is_left_in_the_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool() as spool:
        spool.append(np.ones(100, np.uint32))
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
