"""Costs are measured with nothing known from before, wherever the caches of the one who measures lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import costs
from schemas.cache_folder import cache_folder


@pytest.mark.parametrize("named", [None, "mine"])
def test_the_cache_is_an_empty_one_of_its_own_and_goes_when_a_build_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.setattr(costs, "WORK", tmp_path / "work")
    if named is None:
        monkeypatch.delenv("TRACKLORE_CACHE", raising=False)
    else:
        monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / named))
    before = cache_folder()
    for _ in range(2):
        with pytest.raises(OSError, match="failed"), costs.own_cache():
            own = Path(cache_folder())
            assert own.is_relative_to(tmp_path / "work")
            assert not own.exists()
            own.mkdir(parents=True)
            (own / "known").touch()
            raise OSError("failed")
        assert cache_folder() == before
        assert ("TRACKLORE_CACHE" in os.environ) is (named is not None)
