from __future__ import annotations

import pytest

from schemas.reasons import Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_meaning_of_its_own(reason: Reason) -> None:
    assert reason.meaning
    assert [r for r in Reason if r.meaning == reason.meaning] == [reason]
    assert str(reason) == reason.value == reason.name.lower()
