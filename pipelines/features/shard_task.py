"""One shard as one task: its tracks decoded and computed by a few threads, written in the order of their ids."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

from pipelines.features.base import AudioRef, Feature, feature_of
from pipelines.features.decode import ExcludedError
from pipelines.progress import counter
from pipelines.tasks import TaskContext
from schemas.manifest import FeatureSection
from schemas.shards import Clip, ShardWriter
from schemas.store import Store

AHEAD_PER_THREAD = 2

Outcome = list[Clip] | ExcludedError


def write_shard(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Write one shard; return its receipt entry.

    The footer carries the task's digest and the tracks that were excluded, so that a shard whose result was lost
    is known again by itself.
    """
    shared = context.shared
    feature = feature_of(shared["name"], FeatureSection.model_validate(shared["section"]), "feature")
    feature.prepare()
    audio = Store(shared["audio"])
    refs = [AudioRef(*track[:4]) for track in spec["tracks"]]
    exclusions: list[list[str]] = []
    with context.out.writing(spec["path"]) as stream:
        hashing = _Hashing(stream)
        writer = ShardWriter(hashing, feature.spec())  # type: ignore[arg-type]
        for ref, outcome in zip(refs, _computed(feature, audio, refs, context), strict=True):
            if isinstance(outcome, ExcludedError):
                exclusions.append([ref.track_id, str(outcome.reason), outcome.detail])
                continue
            for clip in outcome:
                writer.append(clip)
        meta = {"feature": feature.name, "digest": spec["digest"], "exclusions": exclusions, "rows": writer.rows}
        # What stands before the footer is digested in the footer: the shard can be trusted without a receipt.
        writer.close({**meta, "content": {"sha256": hashing.digest(), "bytes": hashing.count}})
    return {
        "path": spec["path"],
        "sha256": hashing.digest(),
        "bytes": hashing.count,
        "rows": writer.rows,
        "exclusions": exclusions,
    }


def _computed(feature: Feature, audio: Store, refs: list[AudioRef], context: TaskContext) -> Iterator[Outcome]:
    """The outcome of each track in order, computed a few ahead of where the writer stands."""
    progress = counter(context.label)

    def one(ref: AudioRef) -> Outcome:
        try:
            return feature.clips(audio, ref)
        except ExcludedError as excluded:
            return excluded
        finally:
            progress.advance()

    ahead = AHEAD_PER_THREAD * context.threads
    with ThreadPoolExecutor(context.threads) as pool:
        waiting: deque[Future[Outcome]] = deque()
        for ref in refs:
            waiting.append(pool.submit(one, ref))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Hashing:
    """A stream for writing that knows the digest of what went through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._state = hashlib.sha256()
        self.count = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._state.update(data)
        written = self._stream.write(data)
        self.count += written
        return written

    def flush(self) -> None:
        self._stream.flush()

    def tell(self) -> int:
        return self.count

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """The store closes what it opened."""

    def digest(self) -> str:
        return self._state.hexdigest()
