"""Views of a dataset: made from what the receipt lists, after every build, in no digest."""

from __future__ import annotations

from typing import Any

from pipelines.audit import audit
from schemas.receipt import require_receipt
from schemas.store import Store


def write_views(out: Store) -> dict[str, Any] | None:
    """Write audit.json, report.html and README.md; return the audit, or None while there are no splits."""
    from pipelines.report.page import write_report

    content = audit(out) if "splits" in require_receipt(out).stages else None
    write_report(out, content)
    return content
