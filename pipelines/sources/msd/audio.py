"""Which tracks have a 30 s preview by 7digital, and where: `MSD_id_to_7D_id.pkl` and `7D_id_to_path.pkl`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipelines.sources.pickles import unpickled
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from schemas.errors import UsageError
from schemas.store import OutsideStoreError, relative_path

_TO_7DIGITAL, _TO_PATH = "7digital_ids", "7digital_paths"
_ABOUT = "published with the 50-tag split (pickle, below 100 MB; repository jongpillee/music_dataset_split)"
_FOLDERS = ("", "lastfm_annotation/", "MSD_split/")
AUDIO_FILES = {
    key: PublishedFile(tuple(folder + name for folder in _FOLDERS), about=_ABOUT)
    for key, name in ((_TO_7DIGITAL, "MSD_id_to_7D_id.pkl"), (_TO_PATH, "7D_id_to_path.pkl"))
}


def read_audio_paths(files: PublishedFiles, track_ids: pa.Array) -> pa.Array:
    """Where each track's preview lies below the folder of previews (`8/9/8947470.clip.mp3`), or null without one.

    Args:
        track_ids: strings.

    Returns:
        a string array, aligned with `track_ids`.

    Raises:
        UsageError: a file is no pickled dict of ids or paths, or a path leads out of the folder.
    """
    to_7digital, to_path = _mapping(files, _TO_7DIGITAL), _mapping(files, _TO_PATH)
    paths = {str(key): path for key, path in to_path.items()}
    found: list[str | None] = []
    for track in track_ids.to_pylist():
        digital = to_7digital.get(track)
        path = None if digital is None else paths.get(str(digital))
        if path is not None:
            path = _checked(files, track, path)
        found.append(path)
    return pa.array(found, pa.string())


def _mapping(files: PublishedFiles, key: str) -> dict[Any, Any]:
    with files.opened(key) as stream:
        content = unpickled(stream.read(), files.where(key))
    if not isinstance(content, dict):
        raise UsageError(f"{files.where(key)}: holds {type(content).__name__}, and a dict is published")
    return content


def _checked(files: PublishedFiles, track: str, path: Any) -> str:
    try:
        if not isinstance(path, str):
            raise OutsideStoreError(f"{path!r} is no path")
        return relative_path(path)
    except OutsideStoreError as error:
        raise UsageError(f"{files.where(_TO_PATH)}: the path of {track}: {error}") from error
