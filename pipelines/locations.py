"""Folders that a manifest names: relative ones start from the manifest's own folder."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UsageError
from schemas.manifest import FEATURE_LOCATION_KEYS, FeatureSection, Manifest
from schemas.store import Store


def store_at(uri: str, base: Path | None, key: str) -> Store:
    """The store at a path that the manifest names under `key`.

    Args:
        base: the folder that relative paths start from; None for the working directory.

    Raises:
        UsageError: there is no such folder.
    """
    uri = _from_base(uri, base)
    store = Store(uri)
    if not store.root_exists():
        raise UsageError(f"{key}: {uri} is no folder; set it with --set {key}=DIR")
    return store


def features_at(manifest: Manifest, base: Path | None) -> Manifest:
    """The manifest with the paths of its features from `base`: processes that compute them know no base."""

    def located(section: FeatureSection) -> FeatureSection:
        keys = section.model_dump()
        found = {key: keys[key] for key in sorted(FEATURE_LOCATION_KEYS) if isinstance(keys.get(key), str)}
        if not found:
            return section
        return section.model_copy(update={key: _from_base(uri, base) for key, uri in found.items()})

    return manifest.model_copy(
        update={"features": {name: located(section) for name, section in manifest.features.items()}}
    )


def _from_base(uri: str, base: Path | None) -> str:
    if "://" in uri:
        return uri
    path = Path(uri).expanduser()
    return str(path if path.is_absolute() or base is None else base / path)
