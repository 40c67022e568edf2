"""Where a page finds the sound of a track: links beside it, since music may be listened to and not passed on."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import quote

from schemas.errors import TrackloreError
from schemas.store import Store, relative_path
from train.run import Run

Link = Callable[[str | None], str | None]
_USUAL = "music"


def sounds(run: Run, folder: str | None) -> Link:
    """What gives a track's `audio_uri` a link from the run's page; None where the file is not at hand.

    Args:
        folder: that the dataset's paths begin in; by default `music` in the dataset, or the dataset itself.
    """
    candidates = [folder] if folder is not None else _candidates(run)
    stores = [Store(place) for place in candidates]
    page = os.path.realpath(os.path.dirname(run.store.full("x"))) if run.store.is_local else None  # noqa: PTH120

    def link(uri: str | None) -> str | None:
        if page is None or not uri:
            return None
        for store in stores:
            try:
                path = relative_path(uri)
                if store.is_local and store.exists(path) and store.inside(path):
                    return quote(os.path.relpath(os.path.realpath(store.full(path)), page).replace(os.sep, "/"))
            except TrackloreError:
                continue
        return None

    return link


def _candidates(run: Run) -> list[str]:
    try:
        data = run.locate_data()
    except TrackloreError:
        return []
    return [f"{data.rstrip('/')}/{_USUAL}", data]
