"""Views of a dataset: made from what the receipt lists, after every build, in no digest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipelines.audit import AUDIT_FILE, audit, listings
from pipelines.croissant import CROISSANT_FILE, croissant_text
from schemas.receipt import RECEIPT_FILE, require_receipt
from schemas.store import Store

LOADS = ("pipelines.report.page", "matplotlib.backends.backend_svg", "matplotlib.ticker")
"""What `write_views` loads late; the drawing takes a second to load."""

_PAGES = ("report.html", "README.md", CROISSANT_FILE)


def standing_audit(out: Store) -> dict[str, Any] | None:
    """The audit of a dataset whose views are all there and were made from the receipt as it is; else None."""
    return _current_audit(out) if all(out.exists(name) for name in (AUDIT_FILE, *_PAGES)) else None


def _held_against(out: Store) -> dict[str, Any] | None:
    """A current audit that other datasets were named for: to make it again, they would have to be named again."""
    content = _current_audit(out) if out.exists(AUDIT_FILE) else None
    return content if content is not None and "against" in content else None


def _current_audit(out: Store) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(out.read_text(AUDIT_FILE))
        current = content["receipt"] == out.sha256(RECEIPT_FILE)
        current = current and all(out.exists(name) for name in listings(content))
    except (ValueError, KeyError, TypeError):
        return None
    return content if current else None


def write_views(out: Store, against: Sequence[Store] = ()) -> dict[str, Any] | None:
    """Write audit.json, report.html, README.md and metadata.json; return the audit, or None without splits.

    Args:
        against: datasets that the audit looks for tracks in.
    """
    from pipelines.report.page import write_report

    receipt = require_receipt(out)
    content = _held_against(out) if not against else None
    if content is None and "splits" in receipt.stages:
        content = audit(out, against)
    out.write_text(CROISSANT_FILE, croissant_text(out, receipt))
    write_report(out, content)
    return content
