"""The members of one large JSON object, one at a time: what a file of gigabytes needs in memory is one member."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from schemas.errors import UsageError

_CHUNK = 1 << 20
_BEHIND = tuple(":,]} \n\r\t")


def json_members(stream: BinaryIO, where: str) -> Iterator[tuple[str, Any]]:
    """The (key, value) pairs of the object that a stream of UTF-8 JSON holds, in the order of the file.

    Raises:
        UsageError: naming `where` and the place: it is no JSON, or no object.
    """
    reader = _Reader(stream, where)
    if reader.token() != "{":
        raise reader.wrong("is no JSON object")
    more = reader.token() != "}"
    if more:
        reader.back()
    while more:
        key = reader.value()
        if not isinstance(key, str):
            raise reader.wrong("has a key that is no text")
        if reader.token() != ":":
            raise reader.wrong(f"has no ':' after {key[:60]!r}")
        yield key, reader.value()
        mark = reader.token()
        more = mark == ","
        if not more and mark != "}":
            raise reader.wrong(f"has no ',' after the value of {key[:60]!r}")
    if reader.token():
        raise reader.wrong("goes on behind its object")


class _Reader:
    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream, self._where = stream, where
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._text, self._place, self._before, self._ended = "", 0, 0, False

    def wrong(self, problem: str) -> UsageError:
        return UsageError(f"{self._where}: {problem} (at character {self._before + self._place:,})")

    def token(self) -> str:
        """The next character that is no space; empty at the end."""
        self._skip()
        character = self._text[self._place : self._place + 1]
        self._place += len(character)
        return character

    def back(self) -> None:
        """Take the last token back."""
        self._place -= 1

    def value(self) -> Any:
        """The value that comes next."""
        self._skip()
        size = _CHUNK
        while True:
            try:
                value, end = self._parse(self._text, self._place)
            except RecursionError as error:
                raise self.wrong("is nested too deeply") from error
            except ValueError as error:
                if self._ended:
                    raise self.wrong(f"is not valid JSON ({error})") from error
            else:
                # A number at the end of the text may go on: "0." is read as 0 as long as no digit follows.
                if self._ended or self._text[end : end + 1] in _BEHIND:
                    self._place = end
                    return value
            self._more(size)
            size *= 2

    def _skip(self) -> None:
        while True:
            while self._text[self._place : self._place + 1] in (" ", "\n", "\r", "\t"):
                self._place += 1
            if self._place < len(self._text) or self._ended:
                return
            self._more(_CHUNK)

    def _more(self, size: int) -> None:
        raw = self._stream.read(size)
        try:
            added = self._decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise self.wrong(f"is not UTF-8 ({error.reason})") from error
        self._before += self._place
        self._text, self._place, self._ended = self._text[self._place :] + added, 0, not raw
