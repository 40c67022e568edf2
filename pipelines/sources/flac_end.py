"""Whether a FLAC file is there to its last frame. Its header has the checksum of all its sound even when it is cut.

The format is RFC 9639: the last frame's header tells which sample it begins with and how many it holds, and the
frame ends with its checksum.
"""

from __future__ import annotations

from typing import BinaryIO

_TAIL_BYTES = 1 << 17
_MAX_FRAME_HEADER = 16


def flac_is_whole(stream: BinaryIO, end: int, samples: int, block: int) -> bool | None:
    """Whether the last frame is there to its end; None where the header states no number of samples.

    Args:
        end: the byte after the last that belongs to the sound.
        samples: of a channel, in the whole file.
        block: samples of a frame, where all but the last are of one size.
    """
    if not samples:
        return None
    stream.seek(max(0, end - _TAIL_BYTES))
    tail = stream.read(min(end, _TAIL_BYTES))
    place = tail.rfind(b"\xff")
    while place >= 0:
        found = _frame(tail[place : place + _MAX_FRAME_HEADER], block)
        if found is not None and sum(found) == samples:
            return _crc16(tail[place:]) == 0  # the frame's own checksum closes it
        place = tail.rfind(b"\xff", 0, place)
    return False


def _frame(head: bytes, block: int) -> tuple[int, int] | None:
    """The first sample of a frame and how many it holds, or None where no frame begins."""
    if len(head) < 6 or head[1] & 0xFC != 0xF8 or head[1] & 0x02:
        return None
    code = head[2] >> 4
    number, place = _coded_number(head, 4)
    if number is None or not code:
        return None
    if code == 6:
        count, place = head[place] + 1 if place < len(head) else 0, place + 1
    elif code == 7:
        count, place = int.from_bytes(head[place : place + 2], "big") + 1, place + 2
    else:
        count = 192 if code == 1 else 576 << (code - 2) if code < 6 else 256 << (code - 8)
    place += {12: 1, 13: 2, 14: 2}.get(head[2] & 0x0F, 0)
    if place >= len(head) or _crc8(head[:place]) != head[place]:
        return None
    return (number if head[1] & 1 else number * block), count


def _coded_number(head: bytes, place: int) -> tuple[int | None, int]:
    """A number coded as UTF-8 codes characters, of up to seven bytes, and the place behind it."""
    first = head[place]
    length = 8 - (first ^ 0xFF).bit_length()
    if length == 0:
        return first, place + 1
    if length == 1 or length > 7 or place + length > len(head):
        return None, place
    number = first & (0x7F >> length)
    for byte in head[place + 1 : place + length]:
        if byte & 0xC0 != 0x80:
            return None, place
        number = number << 6 | byte & 0x3F
    return number, place + length


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = (crc << 8 ^ _CRC16[crc >> 8 ^ byte]) & 0xFFFF
    return crc


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def _crc16_of(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


_CRC16 = tuple(_crc16_of(byte) for byte in range(256))
