"""Reading a report back: the page as elements and words, and what is printed."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

from rich.console import Console

from omnithinker.report import print_summary

VOID = {"meta", "col", "img", "br", "link"}
"""Elements without an end tag."""


class Page(HTMLParser):
    """Collects elements, visible text, and checks that elements are properly nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def summary(folder: Path, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    print_summary(folder, console)
    return console.export_text()
