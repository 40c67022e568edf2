"""A few videos looked through as one task, each in a child process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipelines.progress import counter
from pipelines.tasks import TaskContext
from pipelines.videos.at_hand import NotAtHandError, at_hand
from pipelines.videos.children import CHILDREN, LIBRARIES_BYTES, MOST_BYTES, ChildError
from schemas.reasons import FAULTS_OF_THE_MACHINE, Reason
from schemas.store import Store

EXAMINE = "pipelines.videos.examine:examine"
RETRY = "tracklore build --retry tries again"
_DEATHS = frozenset({Reason.DECODER_DIED, Reason.OUT_OF_MEMORY})


def examined(request: dict[str, Any], limit_s: float, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The columns of `videos` that are found in one video's files.

    What ends a child may have come from outside, so one that died is followed by another. What took too long is
    left to a build that is asked to try again: a video that hangs would cost its time twice.
    """
    try:
        try:
            found: dict[str, Any] = CHILDREN.call(EXAMINE, request, limit_s, most_bytes)
        except ChildError as error:
            if error.reason not in _DEATHS:
                raise
            found = CHILDREN.call(EXAMINE, request, limit_s, most_bytes)
    except ChildError as error:
        again = f"; {RETRY}" if error.reason in FAULTS_OF_THE_MACHINE else ""
        return {"kind": str(error.reason), "detail": f"the decoder failed: {error}{again}"}
    return found


def examine_videos(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Look through the videos of one task: [track_id, audio path, video path] each."""
    store = Store(context.shared["root"])
    progress = counter(context.label)

    def one(video: list[Any]) -> list[Any]:
        track, *paths = video
        try:
            with at_hand(store, *paths) as (audio, pictures):
                request = {**context.shared["request"], "audio": audio, "video": pictures}
                allowed = LIBRARIES_BYTES + context.shared["bytes"]
                return [track, examined(request, context.shared["limit_s"], allowed)]
        except NotAtHandError as error:
            return [track, {"kind": str(Reason.UNREADABLE), "detail": f"{error}; {RETRY}"}]
        finally:
            progress.advance()

    with ThreadPoolExecutor(context.threads) as pool:
        return {"videos": list(pool.map(one, spec["videos"]))}
