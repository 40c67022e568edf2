"""Whether an MP3 file says how long it is. One of varying bit rate that does not is only known when all is decoded.

Decoders take such a file's length from the bit rate of its first frame, and can be wrong by any factor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_HEADER_BYTES = 4
_ID3_BYTES = 10
_HEAD_BYTES = 200
_LOOK_BYTES = 1 << 16
# kbit/s by index, of MPEG 1 layer III and of MPEG 2 and 2.5 layer III.
_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def has_unstated_varying_rate(stream: BinaryIO) -> bool:
    """Whether a file's frames differ in bit rate and no Xing, Info or VBRI header says how many there are.

    Leaves the stream at its start. False for what is no MP3.
    """
    try:
        return _has(stream)
    finally:
        stream.seek(0)


def _has(stream: BinaryIO) -> bool:
    start = _first_frame(stream)
    if start is None:
        return False
    stream.seek(start)
    head = stream.read(_HEAD_BYTES)
    if any(mark in head for mark in (b"Xing", b"Info", b"VBRI")):
        return False
    rates = set(_rates(stream, start))
    return len(rates) > 1


def _first_frame(stream: BinaryIO) -> int | None:
    """Where the first two frames that follow each other begin."""
    stream.seek(0)
    tag = stream.read(_ID3_BYTES)
    begin = 0
    if tag[:3] == b"ID3" and len(tag) == _ID3_BYTES:
        size = 0
        for byte in tag[6:]:
            size = size << 7 | (byte & 0x7F)
        begin = _ID3_BYTES + size
    stream.seek(begin)
    data = stream.read(_LOOK_BYTES)
    at = data.find(b"\xff")
    while 0 <= at < len(data) - _HEADER_BYTES:
        frame = _frame(data[at : at + _HEADER_BYTES])
        if frame is not None and _frame(data[at + frame[0] : at + frame[0] + _HEADER_BYTES]) is not None:
            return begin + at
        at = data.find(b"\xff", at + 1)
    return None


def _rates(stream: BinaryIO, start: int) -> Iterator[int]:
    """The bit rates of the frames one behind the other, kbit/s, until something else comes."""
    stream.seek(start)
    data = stream.read()
    at = 0
    while (frame := _frame(data[at : at + _HEADER_BYTES])) is not None:
        length, rate = frame
        yield rate
        at += length


def _frame(header: bytes) -> tuple[int, int] | None:
    """Bytes and kbit/s of a layer III frame; None when this is no header of one."""
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_index, sample_index = header[2] >> 4, header[2] >> 2 & 3
    if version not in _SAMPLE_RATES or layer != 1 or rate_index in (0, 15) or sample_index == 3:
        return None
    rate = (_RATES_1 if version == 3 else _RATES_2)[rate_index]
    samples = 144 if version == 3 else 72
    return samples * rate * 1000 // _SAMPLE_RATES[version][sample_index] + (header[2] >> 1 & 1), rate
