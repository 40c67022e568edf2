"""Fetching videos. What is done is remembered, what failed for good too; what may pass is tried again.

`downloads.jsonl` in the folder has one line an outcome, the last of an id counts. A killed build goes on from
there, and in mid-file where a file was begun.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pipelines.progress import Counter, Reporter
from pipelines.videos.children import CHILDREN, ChildError
from pipelines.videos.download import VIDEO_ID
from pipelines.videos.files import VideoFiles
from pipelines.videos.network_guard import addresses_of, is_public
from pipelines.videos.place import VideoPlace
from schemas.digests import canonical_json, digest_of
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.store import Store

ARCHIVE = "downloads.jsonl"
DOWNLOAD = "pipelines.videos.download:download"
LABEL = "videos.fetch"
_LONGEST_WAIT_S = 300.0
_STOP_EVERY_S = 0.1
_NOT_YET = (Reason.UNAVAILABLE, "not fetched yet")
# What another account or another place of the network may change.
_BY_ACCESS = frozenset({Reason.PRIVATE, Reason.AGE_RESTRICTED, Reason.REGION_LOCKED, Reason.PRIVATE_ADDRESS})

Outcome = VideoFiles | tuple[Reason, str]


class Fetcher:
    """Fetches into a folder, and knows what became of each id."""

    def __init__(self, place: VideoPlace, store: Store) -> None:
        self._place = place
        self._section = place.section
        self._store = store
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @cached_property
    def _archive(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        if self._store.exists(ARCHIVE):
            for line in self._store.read_bytes(ARCHIVE).splitlines():
                try:
                    entry = json.loads(line)
                    if _is_whole(entry):
                        found[entry["id"]] = entry
                except (ValueError, KeyError, TypeError):  # a line that a killed build began
                    continue
        return found

    @cached_property
    def _request(self) -> str:
        """Digest of what makes a fetched file another one."""
        section = self._section
        return digest_of([section.url, section.max_height, section.max_duration_s, section.max_bytes])

    @cached_property
    def _access(self) -> str:
        """Digest of what lets the fetcher in; nothing that could be read back from it is written down."""
        section = self._section
        return digest_of([section.cookies is not None, section.proxy is not None, section.allow_private])

    def require_usable(self) -> None:
        """Check what can be checked before the first request.

        Raises:
            UsageError: the cookies are not there, or every address would lead into a private network.
        """
        import yt_dlp  # noqa: F401

        self._place.cookies()
        host = urlsplit(self._section.url).hostname or ""
        if not self._section.allow_private and self._section.proxy is None:
            private = sorted(address for address in addresses_of(host) if not is_public(address))
            if private:
                raise UsageError(
                    f"videos.url: {host} is an address of a private network; videos.allow_private=true lets it"
                )

    def outcome(self, track_id: str) -> Outcome:
        """The files of a video, or why there are none."""
        if not VIDEO_ID.fullmatch(track_id):
            return Reason.INVALID_ID, f"{track_id[:40]!r} is no id of a video"
        entry = self._archive.get(track_id)
        if entry is None or entry.get("request") != self._request:
            return _NOT_YET
        if "reason" in entry:
            return Reason(entry["reason"]), str(entry["detail"])
        files = VideoFiles(str(entry["audio"]), str(entry["video"]))
        sizes = [self._store.size(path) for path in files.paths]
        return files if sizes == entry["bytes"] else _NOT_YET

    def waiting(self, ids: Iterable[str]) -> list[str]:
        """The ids that are to be tried (again), in their order."""
        return [track for track in ids if self._is_waiting(track)]

    def _is_waiting(self, track_id: str) -> bool:
        outcome = self.outcome(track_id)
        if isinstance(outcome, VideoFiles) or outcome[0] is Reason.INVALID_ID:
            return False
        if outcome == _NOT_YET:
            return True
        entry = self._archive[track_id]
        return bool(entry["passes"]) or (outcome[0] in _BY_ACCESS and entry["access"] != self._access)

    def fetch(self, ids: Sequence[str], reporter: Reporter) -> None:
        """Fetch what is waiting. Whatever happens to one video, the others are fetched."""
        waiting = self.waiting(ids)
        if not waiting:
            return
        self._store.write_text(".partial/README", "Files that are being fetched; safe to delete.\n")
        with reporter.counting(LABEL, len(waiting)) as progress, ThreadPoolExecutor(self._section.at_once) as pool:
            running: list[Future[None]] = []
            try:
                running += [pool.submit(self._fetch_one, track, progress) for track in waiting]
                for one in running:
                    one.result()
            except BaseException:
                self._stop(pool, running)
                raise

    def _stop(self, pool: ThreadPoolExecutor, running: Sequence[Future[None]]) -> None:
        """End the downloads; what was begun is gone on with by the next build."""
        self._stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)
        begun = [one for one in running if not one.cancelled()]
        while wait(begun, _STOP_EVERY_S).not_done:  # a thread may just have been about to start a child
            CHILDREN.stop()

    def _fetch_one(self, track_id: str, progress: Counter) -> None:
        section = self._section
        found: dict[str, Any] = {}
        for attempt in range(section.retries + 1):
            if self._stopping.is_set():
                return
            found = self._attempt(track_id)
            if "reason" not in found or not found["passes"] or attempt == section.retries:
                break
            self._stopping.wait(min(_LONGEST_WAIT_S, found.get("wait_s") or section.backoff_s * 2**attempt))
        if self._stopping.is_set() and "reason" in found:
            return
        entry: dict[str, Any] = {"id": track_id, "request": self._request, "access": self._access}
        if "reason" in found:
            entry |= {key: found[key] for key in ("reason", "detail", "passes")}
        else:
            files = VideoFiles(found["audio"], found["video"])
            entry |= {**found, "bytes": [self._store.size(path) for path in files.paths]}
        self._remember(entry)
        progress.advance()
        self._stopping.wait(section.pause_s)

    def _attempt(self, track_id: str) -> dict[str, Any]:
        section = self._section
        cookies = self._place.cookies()
        rate = section.bytes_a_second
        request = {
            "id": track_id,
            "url": section.url.replace("{id}", track_id),
            "folder": str(self._store.local_path(".partial"))[: -len("/.partial")],
            "max_height": section.max_height,
            "max_duration_s": section.max_duration_s,
            "max_bytes": section.max_bytes,
            "bytes_a_second": None if rate is None else max(1, rate // section.at_once),
            "timeout_s": section.timeout_s,
            "cookies": None if cookies is None else str(cookies),
            "proxy": section.proxy,
            "allow_private": section.allow_private,
        }
        try:
            found: dict[str, Any] = CHILDREN.call(DOWNLOAD, request, section.limit_s)
        except ChildError as error:
            return {"reason": str(Reason.NETWORK), "detail": f"the download failed: {error}", "passes": True}
        return found

    def _remember(self, entry: dict[str, Any]) -> None:
        path = self._store.local_path(ARCHIVE)
        assert path is not None
        with self._lock:
            self._archive[entry["id"]] = entry
            with path.open("ab+") as stream:
                if stream.tell():  # behind a line that a killed build began, a line of its own
                    stream.seek(-1, os.SEEK_END)
                    if stream.read(1) != b"\n":
                        stream.write(b"\n")
                stream.write(canonical_json(entry).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())


def _is_whole(entry: dict[str, Any]) -> bool:
    """Whether a line of the archive says what became of its id, with all that is asked of it."""
    if "reason" in entry:
        known = entry["reason"] in set(Reason) and isinstance(entry["detail"], str)
        return known and isinstance(entry["passes"], bool) and isinstance(entry["access"], str)
    return isinstance(entry["audio"], str) and isinstance(entry["video"], str) and isinstance(entry["bytes"], list)
