"""One attempt at one video by yt-dlp, in a child process: sound and pictures as they are served, never merged."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.videos.network_guard import PrivateAddressError, addresses_of, guard, unguard
from schemas.plain import without_secrets
from schemas.reasons import Reason

VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")
MISSING = "the server has no sound, or no pictures, within the limits"
_TOO_LARGE = "larger than max-filesize"
# What servers say, in the order in which it is looked for; whether it may pass by itself.
_SAID: tuple[tuple[str, Reason, bool], ...] = (
    (r"a private address", Reason.PRIVATE_ADDRESS, False),
    (r"HTTP Error 429|too many requests|not a bot|rate.?limit", Reason.RATE_LIMITED, True),
    (r"private video|video is private|members.only|join this channel|requires payment", Reason.PRIVATE, False),
    (r"confirm your age|age.restrict|inappropriate for some users", Reason.AGE_RESTRICTED, False),
    (
        r"(available|blocked|uploader).{0,40}(your|in this) (country|region|location)|geo.?restrict",
        Reason.REGION_LOCKED,
        False,
    ),
    (r"HTTP Error (404|410)|removed|no longer available|terminated|video unavailable", Reason.REMOVED, False),
    (r"premieres in|live event will begin|is live|live stream", Reason.UNAVAILABLE, True),
    (r"unsupported url|no video formats found|no video could be found", Reason.NOT_VIDEO, False),
    (r"requested format is not available", Reason.UNAVAILABLE, False),
    (
        r"timed? ?out|connection|incompleteread|bytes read|HTTP Error 5\d\d|resolve|unreachable|network|"
        r"more expected|\bssl\b|name or service not known|did not get any data",
        Reason.NETWORK,
        True,
    ),
)


class _LimitError(Exception):
    """The video is more than the recipe allows."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def download(request: dict[str, Any]) -> dict[str, Any]:
    """Fetch one video; what an earlier attempt left is gone on with in mid-file.

    Args:
        request: `id`, `url`, `folder` (a local path), `max_height`, `max_duration_s`, `max_bytes`,
            `bytes_a_second`, `timeout_s`, `cookies`, `proxy`, `allow_private`.

    Returns:
        `audio` and `video`, names of files in the folder, the same when the server has but one file; or `reason`,
        `detail`, `passes` (whether it may come right by itself) and `wait_s` (as the server asks, or null).
    """
    # Before yt-dlp is imported: a user's plugins and settings are no part of the recipe.
    os.environ["YTDLP_NO_PLUGINS"] = "1"
    import yt_dlp

    proxy = request["proxy"]
    if request["allow_private"]:
        unguard()
    else:
        host = urlsplit(proxy).hostname if proxy else None
        guard(addresses_of(host) if host else frozenset())
    folder = Path(request["folder"])
    partial = folder / ".partial" / request["id"]
    partial.mkdir(parents=True, exist_ok=True)
    said = _Said()
    try:
        with yt_dlp.YoutubeDL(_options(request, partial, said)) as fetcher:
            info = fetcher.extract_info(request["url"], download=True)
        found = _taken(info or {}, request, folder, said)
    except Exception as error:  # yt-dlp wraps what it meets in errors of many kinds
        found = classified(error, request)
    if not found.get("passes"):  # done, or given up: nothing is left to go on with
        shutil.rmtree(partial, ignore_errors=True)
    return found


class _Said:
    """yt-dlp's log. That a file is too large is no error to it, and said here alone."""

    def __init__(self) -> None:
        self.too_large = ""

    def debug(self, text: str) -> None:
        """Every line that is no error."""
        if _TOO_LARGE in text:
            self.too_large = " ".join(text.split())

    def info(self, text: str) -> None:
        """As `debug`."""
        self.debug(text)

    def warning(self, text: str) -> None:
        """As `debug`."""
        self.debug(text)

    def error(self, text: str) -> None:
        """What is raised too."""


def _options(request: Mapping[str, Any], partial: Path, said: _Said) -> dict[str, Any]:
    longest, largest = request["max_duration_s"], request["max_bytes"]
    height = f"[height<=?{request['max_height']}]"

    def within(info: Mapping[str, Any]) -> str | None:
        length = info.get("duration")
        if length and float(length) > longest:
            raise _LimitError(Reason.TOO_LONG, f"{float(length):.0f} s; at most {longest:g} s are taken")
        if info.get("is_live"):
            raise _LimitError(Reason.UNAVAILABLE, "it is live")
        return None

    def watched(progress: Mapping[str, Any]) -> None:
        have = max(progress.get("downloaded_bytes") or 0, progress.get("total_bytes") or 0)
        if have > largest:
            raise _LimitError(Reason.TOO_LARGE, f"{have:,} bytes and more; at most {largest:,} are taken")

    # As text: yt-dlp writes a file of cookies back, and this one is the user's.
    cookies = io.StringIO(Path(request["cookies"]).read_text("utf-8")) if request["cookies"] else None
    given = {"cookiefile": cookies, "proxy": request["proxy"], "ratelimit": request["bytes_a_second"]}
    return {
        "format": f"bestvideo{height}/best{height},bestaudio/best",
        "outtmpl": {"default": f"{str(partial).replace('%', '%%')}/%(format_id)s.%(ext)s"},
        "logger": said,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "noplaylist": True,
        "playlist_items": "1",
        "cachedir": False,
        "continuedl": True,
        "nopart": False,
        "updatetime": False,
        "overwrites": False,
        "fixup": "never",
        "postprocessors": [],
        "retries": 0,
        "fragment_retries": 3,
        "extractor_retries": 0,
        "file_access_retries": 0,
        "socket_timeout": request["timeout_s"],
        "max_filesize": largest,
        "match_filter": within,
        "progress_hooks": [watched],
        "js_runtimes": {"deno": {}, "node": {}},
        "ffmpeg_location": "/nonexistent",
        **{key: value for key, value in given.items() if value is not None},
    }


def _taken(info: Mapping[str, Any], request: Mapping[str, Any], folder: Path, said: _Said) -> dict[str, Any]:
    """Give the files of a finished download their names."""
    entries = info.get("entries")
    if entries is not None:
        listed = [entry for entry in entries if entry]
        if len(listed) != 1:
            return _failure(Reason.NOT_VIDEO, f"the address has {len(listed)} videos", passes=False)
        info = listed[0]
    parts = [part for part in info.get("requested_downloads") or [] if Path(part.get("filepath", "")).is_file()]
    if said.too_large:
        detail = said.too_large.partition("File is ")[2] or said.too_large
        return _failure(Reason.TOO_LARGE, detail.removesuffix(" Aborting."), passes=False)
    if not parts:
        return _failure(Reason.UNAVAILABLE, MISSING, passes=False)
    sound = next((part for part in parts if part.get("vcodec") == "none"), None)
    pictures = next((part for part in parts if part is not sound), None)
    identity = request["id"]
    named: dict[str, str] = {}
    apart = sound is not None and pictures is not None
    for kind, part in (("audio", sound), ("video", pictures)):
        if part is None:
            continue
        source = Path(part["filepath"])
        if source.stat().st_size > request["max_bytes"]:
            return _failure(Reason.TOO_LARGE, f"{source.stat().st_size:,} bytes", passes=False)
        name = f"{identity}.{kind}{source.suffix}" if apart else f"{identity}{source.suffix}"
        source.replace(folder / name)
        named[kind] = name
    either = next(iter(named.values()))
    return {"audio": named.get("audio", either), "video": named.get("video", either)}


def classified(error: BaseException, request: Mapping[str, Any]) -> dict[str, Any]:
    """What an error of yt-dlp's means: the failure as `download` returns it."""
    from yt_dlp.networking.exceptions import HTTPError
    from yt_dlp.utils import GeoRestrictedError, UnsupportedError

    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, _LimitError):
            return _failure(cause.reason, cause.detail, passes=False)
    text = _told(" ".join(str(cause) for cause in chain), request)
    first = _told(str(chain[0]), request)
    status = next((cause.status for cause in chain if isinstance(cause, HTTPError)), None)
    wait = next((_wait(cause) for cause in chain if isinstance(cause, HTTPError)), None)
    if any(isinstance(cause, PrivateAddressError) for cause in chain):
        return _failure(Reason.PRIVATE_ADDRESS, f"{first}; videos.allow_private lets it", passes=False)
    if status == 429:
        return _failure(Reason.RATE_LIMITED, first, passes=True, wait_s=wait)
    if any(isinstance(cause, GeoRestrictedError) for cause in chain):
        return _failure(Reason.REGION_LOCKED, first, passes=False)
    if any(isinstance(cause, UnsupportedError) for cause in chain):
        return _failure(Reason.NOT_VIDEO, first, passes=False)
    for pattern, reason, passes in _SAID:
        if re.search(pattern, text, re.IGNORECASE):
            return _failure(reason, first, passes=passes, wait_s=wait)
    return _failure(Reason.UNAVAILABLE, first, passes=True, wait_s=wait)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it, as yt-dlp keeps them."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        info = getattr(one, "exc_info", None)
        waiting += [info[1] if info else None, getattr(one, "cause", None), one.__cause__, one.__context__]


def _told(text: str, request: Mapping[str, Any]) -> str:
    """A message for a table: one line, without colours, addresses of proxies and paths of this machine."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).removeprefix("ERROR: ")
    proxy = request["proxy"]
    for secret in (proxy, urlsplit(proxy).netloc if proxy else None, request["cookies"], request["folder"]):
        if secret:
            plain = plain.replace(secret, "…")
    if proxy and (host := urlsplit(proxy).hostname):
        named = rf"(?<![\w-])(?<!\w\.)\[?{re.escape(host)}\]?(:\d+)?(?![\w-]|\.\w)"
        plain = re.sub(named, "…", plain, flags=re.IGNORECASE)
    return " ".join(without_secrets(plain).split())[:300]


def _wait(error: Any) -> float | None:
    """How long the server asks to be left alone, seconds."""
    value = error.response.headers.get("Retry-After") if getattr(error, "response", None) is not None else None
    return float(value) if isinstance(value, str) and value.isdigit() else None


def _failure(reason: Reason, detail: str, *, passes: bool, wait_s: float | None = None) -> dict[str, Any]:
    return {"reason": str(reason), "detail": detail, "passes": passes, "wait_s": wait_s}
