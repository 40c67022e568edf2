"""Captions: a track's tags put into words."""

from __future__ import annotations

from schemas.digests import stable_hash
from schemas.manifest import CaptionsSection


def caption(track_id: str, tags: list[str], title: str | None, settings: CaptionsSection) -> str | None:
    """The caption of one track (TTMR 3.1: its tags joined), or None when there is nothing to say.

    With `order: seeded` the tags of a track stand in an order that its id and the seed decide, so that a model
    does not learn the alphabet.
    """
    if not tags:
        return title if settings.fallback == "title" else None
    ordered = sorted(tags)
    if settings.order == "seeded":
        ordered.sort(key=lambda tag: stable_hash(f"{track_id}\x00{tag}", settings.seed))
    return settings.separator.join(ordered)
