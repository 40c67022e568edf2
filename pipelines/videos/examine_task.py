"""A few videos looked through as one task, each in a child process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipelines.progress import counter
from pipelines.tasks import TaskContext
from pipelines.videos.children import CHILDREN, ChildError
from schemas.reasons import Reason
from schemas.store import Store

EXAMINE = "pipelines.videos.examine:examine"


def examine_videos(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Look through the videos of one task: [track_id, audio path, video path] each."""
    store = Store(context.shared["root"])
    progress = counter(context.label)

    def local(path: str | None) -> str | None:
        return None if path is None else str(store.local_path(path))

    def one(video: list[Any]) -> list[Any]:
        track, audio, pictures = video
        request = {**context.shared["request"], "audio": local(audio), "video": local(pictures)}
        try:
            return [track, CHILDREN.call(EXAMINE, request, context.shared["limit_s"])]
        except ChildError as error:
            return [track, {"kind": str(Reason.DECODE_ERROR), "detail": f"the decoder failed: {error}"}]
        finally:
            progress.advance()

    with ThreadPoolExecutor(context.threads) as pool:
        return {"videos": list(pool.map(one, spec["videos"]))}
