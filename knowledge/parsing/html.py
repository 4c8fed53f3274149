"""Web pages: what a reader would read. Scripts, styles and what stands around the text on every page is left out."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from .base import Block, decode, decoded

CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([a-zA-Z0-9_-]{1,40})""", re.IGNORECASE)
SILENT = {"script", "style", "noscript", "template", "svg", "nav", "footer", "form", "iframe", "head"}
BREAKS = {
    "p", "div", "section", "article", "main", "aside", "header", "ul", "ol", "li", "dl", "dt", "dd", "table", "tr",
    "blockquote", "pre", "figure", "figcaption", "hr", "address", "details", "summary", "h1", "h2", "h3", "h4", "h5",
    "h6", "body", "html", "caption", "title",
}  # fmt: skip
LINE_END = "\v"  # of <br>, told from the line ends of the source, which mean nothing
HEADINGS = {f"h{level}": level for level in range(1, 7)}


def blocks(path: Path) -> Iterator[Block]:
    reader = Reader()
    reader.feed(text_of(path))
    reader.close()
    reader.end_block()
    yield from reader.blocks


def text_of(path: Path) -> str:
    with open(path, "rb") as file:
        said = CHARSET.search(file.read(4096))
    if said is None or said[1].lower() in (b"utf-8", b"utf8"):
        return decoded(path)
    try:
        return decode(path.read_bytes(), said[1].decode())
    except LookupError:  # an encoding that nobody knows
        return decoded(path)


class Reader(HTMLParser):
    """Gathers blocks. Depth costs nothing: of what is silent only the innermost name and its count are kept."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.gathered: list[str] = []
        self.heading = 0
        self.silent = ""  # the element that silences
        self.depth = 0  # how many of its name are open
        self.in_title = False
        self.is_pre = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "title" and self.silent in ("", "head"):
            self.in_title = True
        if self.silent:
            self.depth += tag == self.silent
            if self.silent == "head" and tag == "body":  # a head that nobody closed
                self.silent = ""
            return
        if tag in SILENT:
            self.end_block()
            self.silent, self.depth = tag, 1
        elif tag in BREAKS:
            self.end_block()
            self.heading = HEADINGS.get(tag, 0)
            self.is_pre = tag == "pre"
            if tag == "li":
                self.gathered.append("- ")
        elif tag == "br":
            self.gathered.append("\n" if self.is_pre else LINE_END)
        elif tag in ("td", "th") and "".join(self.gathered).strip():
            self.gathered.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title" and self.in_title:
            self.in_title = False
            self.heading = 1
            self.end_block()
        if self.silent:
            self.depth -= tag == self.silent
            if self.depth <= 0:
                self.silent = ""
        elif tag in BREAKS:
            self.end_block()

    def handle_data(self, data: str) -> None:
        if not self.silent or self.in_title:
            self.gathered.append(data)

    def end_block(self) -> None:
        text = "".join(self.gathered)
        if not self.is_pre:
            text = "\n".join(" ".join(line.split()) for line in text.split(LINE_END))
        if text.strip() not in ("", "-"):
            self.blocks.append(Block(text, heading=self.heading))
        self.gathered, self.heading, self.is_pre = [], 0, False
