from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.loading_ahead import loading_ahead


def test_what_is_named_is_there_afterwards_and_what_cannot_be_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loaded_late.py").write_text("VALUE = 7\n")
    (tmp_path / "broken_late.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with loading_ahead(["no_such_module", "broken_late", "loaded_late"]):
        import loaded_late  # type: ignore[import-not-found]

        assert loaded_late.VALUE == 7
    with loading_ahead(["loaded_late"]):
        pass
    assert "broken_late" not in sys.modules
    del sys.modules["loaded_late"]


def test_an_error_in_the_block_ends_the_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_late.py").write_text("import time\ntime.sleep(0.2)\n")
    (tmp_path / "never_late.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="mine"), loading_ahead(["slow_late", "never_late"]):
        raise ValueError("mine")
    assert "never_late" not in sys.modules
    sys.modules.pop("slow_late", None)
