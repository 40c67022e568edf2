"""One shard as one task: its tracks computed by a few decoders, written in the order of their ids.

Decoders are processes of their own (`isolation.py`), one a thread. A store that other processes cannot see
(`memory://`) is decoded by the threads themselves; there a decoder that dies takes the run with it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.features.base import Feature, feature_of
from pipelines.features.decode import ExcludedError
from pipelines.features.isolation import StoppedError, Work, isolation
from pipelines.features.media import MediaRef
from pipelines.progress import counter
from pipelines.tasks import TaskContext
from schemas.digests import canonical_json
from schemas.errors import TrackloreError
from schemas.manifest import FeatureSection
from schemas.reasons import Reason
from schemas.shards import Clip, read_shard_meta, writing_shard
from schemas.store import Store

Outcome = list[Clip] | ExcludedError


def write_shard(context: TaskContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Write one shard; return its receipt entry.

    The footer carries the task's digest and the tracks that were excluded, so that a shard whose result was lost
    is known again by itself.
    """
    shared = context.shared
    feature = feature_of(shared["name"], FeatureSection.model_validate(shared["section"]), "feature")
    media = Store(shared["media"])
    if media.is_shared:
        # The decoders' folder is where the first of them was started.
        root = str(Path(media.full("x")).parent) if media.is_local else media.root
        work = Work(shared["name"], canonical_json(shared["section"]), root, *shared["limits"])
        clips_of = partial(isolation().clips, work)
    else:
        feature.prepare()
        clips_of = partial(feature.clips, media)
    refs = [MediaRef(*track) for track in spec["tracks"]]
    exclusions: list[list[str]] = []
    meta = {"feature": feature.name, "digest": spec["digest"], "exclusions": exclusions}
    with writing_shard(context.out, spec["path"], feature.spec(), meta, context.require_wanted) as writer:
        for ref, outcome in zip(refs, _finished(feature, _computed(clips_of, refs, context)), strict=True):
            if isinstance(outcome, ExcludedError):
                exclusions.append([ref.track_id, str(outcome.reason), outcome.detail])
                continue
            for clip in outcome:
                writer.append(clip)
    return {
        "path": spec["path"],
        "sha256": writer.sha256,
        "bytes": writer.bytes,
        "rows": writer.rows,
        "exclusions": exclusions,
    }


def shard_stands(out: Store, result: dict[str, Any]) -> bool:
    """Whether the shard of a result of `write_shard` is there, and none of another job's in its place."""
    path = result["path"]
    meta = read_shard_meta(out, path) if out.size(path) == result["bytes"] else None
    return meta is not None and meta.get("digest") == result["digest"]


def _computed(
    clips_of: Callable[[MediaRef], list[Clip]], refs: list[MediaRef], context: TaskContext
) -> Iterator[Outcome]:
    """The outcome of each track in order, computed a few ahead of where the writer stands."""
    progress = counter(context.label)

    def one(ref: MediaRef) -> Outcome:
        try:
            return clips_of(ref)
        except ExcludedError as excluded:
            return excluded
        except (TrackloreError, ImportError, MemoryError, StoppedError):
            raise  # the configuration or the machine, not the file
        except Exception as error:  # whatever a decoder stumbles on, it is one track
            return ExcludedError(Reason.DECODE_ERROR, f"{ref.uri}: {type(error).__name__}: {error}")
        finally:
            progress.advance()

    ahead = context.shared["ahead"]
    with ThreadPoolExecutor(context.threads) as pool:
        waiting: deque[Future[Outcome]] = deque()
        for ref in refs:
            waiting.append(pool.submit(one, ref))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _finished(feature: Feature, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The outcomes in the same order, the clips among them finished a batch of tracks at a time."""
    iterator = iter(outcomes)
    while batch := list(itertools.islice(iterator, feature.BATCH)):
        found = iter(feature.finish([outcome for outcome in batch if not isinstance(outcome, ExcludedError)]))
        yield from (outcome if isinstance(outcome, ExcludedError) else next(found) for outcome in batch)
