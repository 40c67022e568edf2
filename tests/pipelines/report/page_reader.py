"""A page as a browser would take it apart."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from pipelines.report.page import write_report
from schemas.store import Store


class Page(HTMLParser):
    """What a browser would make of a page: tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.cells: list[list[str]] = []
        self._in = ""
        self._open_cell = False
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in ("script", "style") else self._in
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th") and self.cells:
            self.cells[-1].append("")
            self._open_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag in ("script", "style") else self._in
        self._open_cell = self._open_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts.append(data)
        elif self._in != "style":
            self.words.append(data)
            if self._open_cell:
                self.cells[-1][-1] += data

    def row(self, *first: str) -> list[str]:
        """The cells, stripped, of the first row that has these cells."""
        for row in self.cells:
            cells = [" ".join(cell.split()) for cell in row]
            if all(cell in cells for cell in first):
                return cells
        raise AssertionError(f"no row with {first}")


def page_of(store: Store, runs: list[Store] | None = None) -> Page:
    audit = json.loads(store.read_text("audit.json")) if store.exists("audit.json") else None
    write_report(store, audit, runs if runs is not None else [])
    return Page(store.read_text("report.html"))
