"""Whether a file was cut off that a decoder takes for a shorter one: WAV, AIFF and OGG, by their own structure."""

from __future__ import annotations

import re
from typing import BinaryIO, Literal, NamedTuple

# What programs that cannot seek write for a length that they do not know yet.
_UNKNOWN = 0x7FFF_0000
_PAGE_BYTES = 65_307
_PAGE_HEADER = 27
_LAST_OF_ITS_STREAM = 0x04


class SampleBytes(NamedTuple):
    """Bytes of a file's samples: as its header states, and as there are."""

    stated: int
    there: int


def sample_bytes(stream: BinaryIO) -> SampleBytes | None:
    """Of a WAV or AIFF file; None of another, and where nothing is stated."""
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b"RIFF":
        return _chunk(stream, size, b"data", "little")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _chunk(stream, size, b"SSND", "big")
    return None


def _chunk(stream: BinaryIO, size: int, wanted: bytes, order: Literal["little", "big"]) -> SampleBytes | None:
    place = 12
    while place + 8 <= size:
        stream.seek(place)
        name, length = stream.read(4), int.from_bytes(stream.read(4), order)
        if name == wanted:
            return None if length >= _UNKNOWN or not length else SampleBytes(length, size - place - 8)
        place += 8 + length + length % 2
    return None


def ogg_is_cut(stream: BinaryIO) -> str | None:
    """Why an OGG file is not whole, or None: its last page must be there, and be its stream's last (RFC 3533)."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 2 * _PAGE_BYTES))
    tail = stream.read()
    places = [match.start() for match in re.finditer(rb"OggS\x00", tail)]
    if not places:
        return None
    page = tail[places[-1] :]
    table = page[_PAGE_HEADER : _PAGE_HEADER + page[_PAGE_HEADER - 1]] if len(page) >= _PAGE_HEADER else b""
    if len(page) < _PAGE_HEADER or len(table) < page[_PAGE_HEADER - 1]:
        return "the file ends in the middle of a page"
    if _PAGE_HEADER + len(table) + sum(table) > len(page):
        return "the file ends in the middle of a page"
    return None if page[5] & _LAST_OF_ITS_STREAM else "the page that ends its stream is missing"
