"""Markdown, kept as it was written; its headings are places. Both kinds are seen: `#` and underlined."""

import re
from collections.abc import Iterator
from pathlib import Path

from .base import Block, decoded

HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def blocks(path: Path) -> Iterator[Block]:
    gathered: list[str] = []
    fence = ""

    def flush() -> Iterator[Block]:
        if gathered:
            yield Block("\n".join(gathered))
            gathered.clear()

    for line in decoded(path).replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        opened = FENCE.match(line)
        if fence:
            gathered.append(line)
            if opened and line.strip().startswith(fence):
                fence = ""
        elif opened:
            fence = opened[1]
            gathered.append(line)
        elif heading := HEADING.match(line):
            yield from flush()
            yield Block(line, heading=len(heading[1]))
        elif (under := UNDERLINE.match(line)) and len(gathered) == 1 and gathered[0].strip():
            title = gathered.pop()
            yield Block(title, heading=1 if under[1].startswith("=") else 2)
        elif not line.strip():
            yield from flush()
        else:
            gathered.append(line)
    yield from flush()
