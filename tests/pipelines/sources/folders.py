from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen

from pipelines.sources.base import SourceContext, SourceTables
from pipelines.sources.folder import Folder, FolderSettings
from schemas.tables import ANNOTATIONS

Play = Callable[..., Path]
START = "; its paths start from the source's folder"


def tagged(path: Path, **tags: str) -> Path:
    found: Any = mutagen.File(path, easy=True)
    if found.tags is None:
        found.add_tags()
    for key, value in tags.items():
        found[key] = value
    found.save()
    return path


def source(context: SourceContext, music: Path, **keys: Any) -> Folder:
    return Folder(FolderSettings(kind="folder", path=str(music), **keys), context)


def read(context: SourceContext, music: Path, **keys: Any) -> SourceTables:
    return source(context, music, **keys).read()


def by_id(tables: SourceTables) -> dict[str, dict[str, Any]]:
    return {row["track_id"]: row for row in tables.tracks.to_pylist()}


def excluded(tables: SourceTables) -> dict[str, tuple[str, str]]:
    return {row["id"]: (row["reason"], row["detail"]) for row in tables.exclusions.to_pylist()}


def said(tables: SourceTables) -> list[tuple[str, str, str]]:
    return [
        (row["track_id"], row["source"], row["raw_tag"])
        for row in ANNOTATIONS.conform(tables.annotations).to_pylist()
    ]
