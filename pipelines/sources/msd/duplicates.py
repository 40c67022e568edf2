"""The Million Song Dataset's own list of duplicates, `msd_duplicates.txt`: comments after `#`, a line that starts
with `%` before each group, and one track a line."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.published_files import PublishedFile, PublishedFiles

DUPLICATES = "duplicates"
DUPLICATE_FILES = {
    DUPLICATES: PublishedFile(
        ("msd_duplicates.txt", "AdditionalFiles/msd_duplicates.txt"),
        about="the Million Song Dataset's additional file msd_duplicates.txt (about 4 MB)",
        required=False,
    )
}
_TRACK = re.compile(r"(TR[A-Z0-9]{16})(?:$|\s|<SEP>)")


def read_recordings(files: PublishedFiles, track_ids: pa.Array) -> tuple[pa.Array, tuple[str, ...]]:
    """The recording of each track: the first id of the groups that it is in, or its own.

    Args:
        track_ids: strings.

    Returns:
        a string array, aligned with `track_ids`, and notes.

    Raises:
        UsageError: a line that is neither comment, group nor track.
    """
    if not files.has(DUPLICATES):
        return track_ids, ()
    parents: dict[str, str] = {}
    last: str | None = None
    groups = 0
    for number, line in files.lines(DUPLICATES):
        if line.startswith("%"):
            last, groups = None, groups + 1
        elif line.strip() and not line.startswith("#"):
            found = _TRACK.match(line)
            if found is None or groups == 0:
                raise files.wrong(DUPLICATES, number, f"{line[:60]!r} is no track of a group")
            track = found[1]
            parents.setdefault(track, track)
            if last is not None:
                first, second = sorted((_root(parents, last), _root(parents, track)))
                parents[second] = first
            last = track
    members = sorted(parents)
    places = pc.index_in(track_ids, value_set=pa.array(members, pa.string()))
    recordings = pa.array([_root(parents, track) for track in members], pa.string())
    here = len(track_ids) - places.null_count
    notes = (f"{here:,} tracks are in the {groups:,} groups of {files.path(DUPLICATES)}: one recording a group",)
    return pc.coalesce(recordings.take(places), track_ids), notes


def _root(parents: dict[str, str], track: str) -> str:
    while parents[track] != track:
        parents[track] = parents[parents[track]]
        track = parents[track]
    return track
