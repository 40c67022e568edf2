"""A reader of CSV that knows whether the row that it gave last has an end."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Literal

NO_END = "a quoted cell does not end"


class CsvRows(Iterator[list[str]]):
    """As `csv.reader`, of text that is given line by line.

    Attributes:
        endless: the last row has a quote that nobody closes, which took all that follows into its cell.
    """

    def __init__(self, text: Iterable[str], delimiter: str = ",", *, quoted: bool = True) -> None:
        self.endless = False
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        self._reader = csv.reader(self._lines(text), delimiter=delimiter, quoting=quoting)

    @property
    def line_num(self) -> int:
        """The lines read so far."""
        return self._reader.line_num

    def __next__(self) -> list[str]:
        return next(self._reader)

    def _lines(self, text: Iterable[str]) -> Iterator[str]:
        for line in text:  # noqa: UP028 - it would close the file behind it
            yield line
        self.endless = True  # within a row more was asked for, or there is no further row
