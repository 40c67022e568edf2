"""One look at an audio file: the digest of its bytes and of its sound, and what its own tags say.

Reads the container only; nothing is decoded.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO

import mutagen
from mutagen.flac import FLAC
from mutagen.id3 import ID3

from pipelines.file_kinds import HEAD_BYTES, USUAL_SUFFIX, audio_kind, kind_of
from pipelines.sources.flac_end import flac_is_whole
from pipelines.time_limit import ended
from schemas.digests import CHUNK_BYTES
from schemas.reasons import Reason
from schemas.store import Store

PROBE_VERSION = 2
TAGS_S = 60.0
"""Seconds for a file's tags; its bytes may take as long as they are many."""
# Containers that mutagen does not read.
_WITHOUT_TAGS = frozenset({"Matroska"})
_ID3V1_BYTES = 128
_APE_FOOTER_BYTES = 32
_YEAR = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)(?=\d{4}(?!\d)|(?!\d))")
# `Folk, World, & Country` is three genres, `Singer/Songwriter` one.
_BETWEEN_GENRES = re.compile(r"[;\x00]|,(?:\s*&)?|/(?!\s*songwriter)", re.IGNORECASE)
_ID3_FRAMES = {"artist": "TPE1", "album": "TALB", "title": "TIT2", "date": "TDRC", "genre": "TCON"}


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file says of itself.

    Attributes:
        sha256: of the whole file.
        sound: digest that is equal for files which differ in their tags only (MP3, FLAC), else `sha256`.
        duration_s: as the header states.
        genres: as typed, split at `;`, `/` and `,`; MP3's numbers as their names.
        kind: what the file is by its content, a key of `file_kinds.SUFFIXES_OF`, where that is known.
        whole: whether the sound is there to its end, where that can be told (FLAC).
        reason, detail: set when it is no audio that the container's reader knows.
    """

    sha256: str
    sound: str
    duration_s: float | None = None
    artist: str | None = None
    album: str | None = None
    title: str | None = None
    year: int | None = None
    genres: tuple[str, ...] = ()
    kind: str | None = None
    whole: bool | None = None
    reason: str | None = None
    detail: str | None = None

    def as_json(self) -> dict[str, Any]:
        """A JSON value that `of_json` reads."""
        return {**asdict(self), "genres": list(self.genres)}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Probe:
        """The inverse of `as_json`."""
        return cls(**{**value, "genres": tuple(value["genres"])})


def probe(store: Store, path: str) -> Probe:
    """Look at one file. Never raises for what is wrong with the file: the reason is in the result."""
    try:
        with store.open(path) as stream:
            start, end, size = _sound_range(stream)
            sha256, sound = _digests(stream, start, end, size)
            if size == 0:
                return Probe(sha256, sound, reason=Reason.NOT_AUDIO, detail="the file has zero bytes")
            stream.seek(start)
            head = stream.read(HEAD_BYTES)
            stream.seek(0)
            found = ended(lambda: _probe_tags(stream, path, sha256, sound, head, end), TAGS_S)
            failed: OSError | None = getattr(stream, "failed", None)
            if failed is not None:  # to a reader of tags that is a file that ends
                raise failed
            if found is None:
                detail = f"its tags could not be read within {TAGS_S:g} s"
                found = Probe(sha256, sound, reason=Reason.TIMED_OUT, detail=detail)
            return replace(found, kind=audio_kind(head))
    except FileNotFoundError:
        return Probe("", "", reason=Reason.MISSING_FILE, detail="vanished, or a link to nothing")
    except OSError as error:
        return Probe("", "", reason=Reason.UNREADABLE, detail=str(error.strerror or error))


def _probe_tags(stream: BinaryIO, path: str, sha256: str, sound: str, head: bytes, end: int) -> Probe:
    try:
        return _read_tags(stream, path, sha256, sound, head, end)
    except OSError:
        raise
    except Exception as error:  # whatever a hostile header makes the parser stumble on, it is one file
        detail = f"{kind_of(head)}; {type(error).__name__}: {_one_line(error)}"
        return Probe(sha256, sound, reason=Reason.NOT_AUDIO, detail=detail)


def _read_tags(stream: BinaryIO, path: str, sha256: str, sound: str, head: bytes, end: int) -> Probe:
    kind = audio_kind(head)
    # By its name mutagen would take a WAV called .flac for a broken FLAC.
    found = mutagen.File(_Named(stream, path if kind is None else f"x{USUAL_SUFFIX[kind]}"), easy=True)
    if found is None or found.info is None:
        if kind in _WITHOUT_TAGS:
            return Probe(sha256, sound)
        return Probe(sha256, sound, reason=Reason.NOT_AUDIO, detail=f"no known audio container: {kind_of(head)}")
    whole = None
    if isinstance(found, FLAC) and found.info.md5_signature:
        sound = f"flac-pcm-{found.info.md5_signature:032x}"
        whole = flac_is_whole(stream, end, found.info.total_samples, found.info.min_blocksize)
    length = float(getattr(found.info, "length", 0.0) or 0.0)
    tags = {key: _values(found, key) for key in _ID3_FRAMES}
    year = next((int(match[1]) for value in tags["date"] if (match := _YEAR.search(value))), None)
    genres = [part.strip() for value in tags["genre"] for part in _BETWEEN_GENRES.split(value)]
    return Probe(
        sha256,
        sound,
        length if length > 0 else None,
        artist=next(iter(tags["artist"]), None),
        album=next(iter(tags["album"]), None),
        title=next(iter(tags["title"]), None),
        year=year,
        genres=tuple(genre for genre in dict.fromkeys(genres) if genre),
        whole=whole,
    )


def _values(found: Any, key: str) -> list[str]:
    """The file's values for a tag, cleaned of blanks; WAV and AIFF keep them as ID3 frames."""
    tags = found.tags
    if tags is None:
        return []
    if isinstance(tags, ID3):
        frames: dict[str, Any] = dict(tags)
        frame = frames.get(_ID3_FRAMES[key])
        # A genre's text may be a number, of which `genres` knows the name.
        values = list(getattr(frame, "genres", None) or getattr(frame, "text", []))
    else:
        try:
            values = tags.get(key) or []
        except (KeyError, ValueError):
            values = []
    cleaned = (" ".join(str(value).split()) for value in values)
    return [value.encode("utf-8", "replace").decode() for value in cleaned if value]


def _digests(stream: BinaryIO, start: int, end: int, size: int) -> tuple[str, str]:
    """Digest of the file, and of the file without the tags (ID3, APE) at its ends."""
    whole, inner = hashlib.sha256(), hashlib.sha256()
    stream.seek(0)
    position = 0
    tagged = (start, end) != (0, size)
    while chunk := stream.read(CHUNK_BYTES):
        whole.update(chunk)
        if tagged:
            view = memoryview(chunk)
            inner.update(view[max(0, start - position) : max(0, end - position)])
        position += len(chunk)
    digest = whole.hexdigest()
    return digest, inner.hexdigest() if tagged else digest


def _sound_range(stream: BinaryIO) -> tuple[int, int, int]:
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(10)
    start = 0
    if len(head) == 10 and head[:3] == b"ID3":
        length = 0
        for byte in head[6:10]:  # seven bits a byte
            length = length << 7 | byte & 0x7F
        start = min(size, 10 + length + (10 if head[5] & 0x10 else 0))
    end = size
    if size - start > _ID3V1_BYTES:
        stream.seek(size - _ID3V1_BYTES)
        if stream.read(3) == b"TAG":
            end = size - _ID3V1_BYTES
    return start, _before_ape(stream, start, end), size


def _before_ape(stream: BinaryIO, start: int, end: int) -> int:
    """Where the sound ends when an APEv2 tag follows it: the tag's last 32 bytes tell its length."""
    if end - start <= _APE_FOOTER_BYTES:
        return end
    stream.seek(end - _APE_FOOTER_BYTES)
    foot = stream.read(_APE_FOOTER_BYTES)
    if foot[:8] != b"APETAGEX":
        return end
    has_header = foot[23] & 0x80
    length = int.from_bytes(foot[12:16], "little") + (_APE_FOOTER_BYTES if has_header else 0)
    return end - length if length <= end - start else end


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__


class _Named:
    """A stream that tells mutagen a name, by which it weighs its guesses."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)
