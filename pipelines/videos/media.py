"""The media of a dataset of music videos: the sound and the pictures of the videos that stay."""

from __future__ import annotations

import pyarrow.compute as pc

from pipelines.features.media import Media, MediaKind, MediaRef
from pipelines.videos.place import WAY_OUT, VideoPlace
from schemas.store import Store
from schemas.tables import VIDEOS
from schemas.tables.videos import KEPT


class VideoMedia(Media):
    """See the module. Both end where the shorter of them does, so that their segments are the same."""

    way_out = WAY_OUT

    def __init__(self, place: VideoPlace) -> None:
        self._place = place
        self.after = ("source", "videos") if place.section.at_hand else ("source",)

    def store(self) -> Store | None:
        return self._place.store()

    def refs(self, out: Store, kind: MediaKind) -> tuple[list[MediaRef], list[str]]:
        columns = ("track_id", f"{kind}_uri", "duration_s", f"{kind}_sha256")
        table = VIDEOS.read(out, [*columns, "kind"])
        table = table.filter(pc.equal(table.column("kind"), KEPT))
        found = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
        return [MediaRef(track, uri, 0.0, end_s, sha256) for track, uri, end_s, sha256 in found], []
