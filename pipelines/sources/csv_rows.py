"""A reader of CSV that tells a row without an end, and where each row begins."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Literal

from pipelines.progress import beat

_BEAT_EVERY = 1 << 14


class EndlessCellError(csv.Error):
    """A quote that nobody closes, which took all that follows into its cell."""


class CsvRows(Iterator[list[str]]):
    """As `csv.reader`, of text that is given line by line. Reading on is a sign of life.

    Attributes:
        start: the line, from 1, that the row begins on which was given or refused last.

    Raises:
        EndlessCellError: a row has no end, be it the header.
    """

    def __init__(self, text: Iterable[str], delimiter: str = ",", *, quoted: bool = True) -> None:
        self.start = 1
        self._ended = False
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        self._reader = csv.reader(self._lines(text), delimiter=delimiter, quoting=quoting)

    @property
    def line_num(self) -> int:
        """The lines read so far."""
        return self._reader.line_num

    def __next__(self) -> list[str]:
        self.start = self._reader.line_num + 1
        row = next(self._reader)
        if self._ended:
            raise EndlessCellError("a quoted cell does not end")
        return row

    def _lines(self, text: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(text, start=1):
            if number % _BEAT_EVERY == 0:
                beat()
            yield line
        self._ended = True  # within a row more was asked for, or there is no further row
