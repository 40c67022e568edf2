"""What a process of several raises is told as if there were one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("place", ["s3://bucket/it's here/shard: 0.parquet", ""])
def test_a_store_that_fails_a_rank_is_a_store_that_failed(place: str) -> None:
    words = [sys.executable, str(Path(__file__).parent / "failing_rank.py"), place]
    ran = subprocess.run(words, capture_output=True, text=True, check=True, timeout=240)
    told = "the store did not do what was asked: a 'reset', by its peer"
    assert ran.stdout.splitlines()[-1] == repr((True, told, place or None))
