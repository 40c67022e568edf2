"""Views of a dataset: made from what the receipt lists, after every build, in no digest."""

from __future__ import annotations

import json
from typing import Any

from pipelines.audit import AUDIT_FILE, audit
from schemas.receipt import RECEIPT_FILE, require_receipt
from schemas.store import Store

_PAGES = ("report.html", "README.md")


def standing_audit(out: Store) -> dict[str, Any] | None:
    """The audit of a dataset whose views are all there and were made from the receipt as it is; else None."""
    if not all(out.exists(name) for name in (AUDIT_FILE, *_PAGES)):
        return None
    try:
        content: dict[str, Any] = json.loads(out.read_text(AUDIT_FILE))
        current = content["receipt"] == out.sha256(RECEIPT_FILE)
    except (ValueError, KeyError, TypeError):
        return None
    return content if current else None


def write_views(out: Store) -> dict[str, Any] | None:
    """Write audit.json, report.html and README.md; return the audit, or None while there are no splits."""
    from pipelines.report.page import write_report

    content = audit(out) if "splits" in require_receipt(out).stages else None
    write_report(out, content)
    return content
