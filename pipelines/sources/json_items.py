"""The objects of a JSON array one at a time: files of hundreds of megabytes are never held whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

_CHUNK_BYTES = 1 << 20
_LONGEST_ITEM = 1 << 26
_SPACE = re.compile(r"[ \t\n\r]*")


def json_items(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number from 1, object) for each item of the array that the stream is.

    Raises:
        ValueError: it is no JSON array of objects; the message names the item.
    """
    decoder = json.JSONDecoder()
    decode = codecs.getincrementaldecoder("utf-8-sig")()
    text, position, number, ended = "", 0, 0, False

    def skip_space() -> None:
        nonlocal position
        while True:
            position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
            if position < len(text) or not more():
                return

    def more() -> bool:
        nonlocal text, position, ended
        if ended:
            return False
        # What is waiting for its end is doubled, so that a long item is looked at a few times only.
        raw = stream.read(max(_CHUNK_BYTES, len(text) - position))
        ended = not raw
        text, position = text[position:] + decode.decode(raw, final=ended), 0
        return True

    skip_space()
    if text[position : position + 1] != "[":
        raise ValueError("does not start as a JSON array")
    position += 1
    skip_space()
    if text[position : position + 1] == "]":
        position += 1
    else:
        while True:
            number += 1
            skip_space()
            if text[position : position + 1] != "{":
                raise ValueError(f"item {number} is no JSON object")
            while True:
                try:
                    item, end = decoder.raw_decode(text, position)
                    break
                except (ValueError, RecursionError) as error:
                    if len(text) - position > _LONGEST_ITEM or not more():
                        raise ValueError(f"item {number} is not valid JSON ({error})") from error
            position = end
            yield number, item
            skip_space()
            sign = text[position : position + 1]
            position += 1
            if sign == "]":
                break
            if sign != ",":
                raise ValueError(f"after item {number}: {sign!r}, and ',' or ']' is JSON")
    skip_space()
    if position < len(text):
        raise ValueError(f"goes on after its last item {number}")
