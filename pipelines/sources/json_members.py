"""The members of a JSON object in a file, one at a time: a file of gigabytes needs no memory of its size."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

_CHUNK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
# What may still belong to a number that the chunk cut in two: read on before believing it.
_OF_A_NUMBER = re.compile(r"[-+0-9.eE]*")


class NoJsonObjectError(ValueError):
    """The bytes are no JSON object; the message says where."""


def members(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The (key, value) pairs of the object that `stream` holds, in its order.

    Raises:
        NoJsonObjectError: it holds something else, or ends early.
    """
    text = _Text(stream)
    text.take("{")
    if text.next() == "}":
        text.take("}")
    else:
        while True:
            text.next()
            key = text.value()
            if not isinstance(key, str):
                raise text.wrong("a key in quotes")
            text.take(":")
            text.next()
            yield key, text.value()
            if text.next() == "}":
                text.take("}")
                break
            text.take(",")
    if text.next():
        raise text.wrong("the end")


class _Text:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._place = 0
        self._before = 0
        self._ended = False

    def next(self) -> str:
        """Go over space; return the next character, or nothing at the end."""
        while True:
            match = _SPACE.match(self._text, self._place)
            self._place = match.end() if match else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        if self.next() != wanted:
            raise self.wrong(repr(wanted))
        self._place += 1

    def value(self) -> Any:
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._place)
            except ValueError as error:
                if self._more():
                    continue
                raise NoJsonObjectError(f"character {self._before + self._place + 1}: {error}") from error
            except RecursionError as error:
                raise NoJsonObjectError(f"character {self._before + self._place + 1}: too deep") from error
            if isinstance(value, int | float) and _OF_A_NUMBER.fullmatch(self._text, end) and self._more():
                continue
            self._place = end
            return value

    def wrong(self, wanted: str) -> NoJsonObjectError:
        found = repr(self.next()) if self.next() else "the end"
        return NoJsonObjectError(f"character {self._before + self._place + 1}: {found} where {wanted} was expected")

    def _more(self) -> bool:
        """Read on; what is behind the place is let go. What is too long for one chunk is read in growing ones."""
        if self._ended:
            return False
        self._before += self._place
        kept = self._text[self._place :]
        raw = self._stream.read(max(_CHUNK, len(kept)))
        self._ended = not raw
        try:
            self._text = kept + self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            raise NoJsonObjectError(f"is not UTF-8 ({error.reason})") from error
        self._place = 0
        return not self._ended
