"""Folders that a manifest names: relative ones start from the manifest's own folder."""

from __future__ import annotations

import posixpath
from pathlib import Path

from schemas.errors import UsageError
from schemas.manifest import FEATURE_LOCATION_KEYS, FeatureSection, Manifest
from schemas.store import Store


def store_at(uri: str, base: str | None, key: str) -> Store:
    """The store at a path that the manifest names under `key`.

    Args:
        base: the folder that relative paths start from; None for the working directory.

    Raises:
        UsageError: there is no such folder.
    """
    uri = from_base(uri, base)
    store = Store(uri)
    if not store.root_exists():
        raise UsageError(f"{key}: {uri} is no folder; set it with --set {key}=DIR")
    return store


def features_at(manifest: Manifest, base: str | None) -> Manifest:
    """The manifest with the paths of its features from `base`: processes that compute them know no base."""

    def located(section: FeatureSection) -> FeatureSection:
        keys = section.model_dump()
        found = {key: keys[key] for key in sorted(FEATURE_LOCATION_KEYS) if isinstance(keys.get(key), str)}
        if not found:
            return section
        return section.model_copy(update={key: from_base(uri, base) for key, uri in found.items()})

    return manifest.model_copy(
        update={"features": {name: located(section) for name, section in manifest.features.items()}}
    )


def from_base(uri: str, base: str | None) -> str:
    """A path that a manifest names, from the folder (or the URI of one) that its relative paths start from.

    Raises:
        UsageError: it climbs out of the bucket that the manifest lies in.
    """
    if "://" in uri:
        return uri
    path = Path(uri).expanduser()
    if path.is_absolute() or base is None:
        return str(path)
    scheme, remote, folder = base.partition("://")
    if not remote:
        return str(Path(base) / path)
    joined = posixpath.normpath(posixpath.join(folder, path.as_posix()))
    if joined.partition("/")[0] != folder.partition("/")[0]:
        raise UsageError(f"{uri}: leads out of {base}, where the manifest lies; give a whole URI")
    return f"{scheme}://{joined}"
