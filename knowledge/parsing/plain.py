"""Text as it is: a block a paragraph."""

import re
from collections.abc import Iterator
from pathlib import Path

from .base import Block, decoded

PARAGRAPH = re.compile(r"\n[ \t]*\n+")


def blocks(path: Path) -> Iterator[Block]:
    text = decoded(path).replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    for paragraph in PARAGRAPH.split(text):
        yield Block(paragraph)
