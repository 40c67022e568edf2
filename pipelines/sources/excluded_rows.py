"""What a source leaves out, as rows of `exclusions`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.reasons import Reason
from schemas.tables import EXCLUSIONS


def excluded_rows(ids: Any, reason: Reason | Any, detail: Any) -> pa.Table:
    """One row for each id, in the order of `exclusions`.

    Args:
        ids: text, as an array or a chunked one.
        reason: one for all, or a column of them.
        detail: a text for all, or a column of them.
    """
    rows = len(ids)
    columns = {
        "id": ids,
        "stage": pa.repeat("source", rows),
        "reason": pa.repeat(str(reason), rows) if isinstance(reason, Reason) else reason,
        "detail": pa.repeat(detail, rows) if isinstance(detail, str) else detail,
    }
    return EXCLUSIONS.conform(pa.table(columns))
