"""What makes two rows the same, as numbers: only for comparing rows within one run, never for keeping."""

from typing import Any, NamedTuple

import msgspec
import xxhash

from datasets_app.formats.base import PREFERENCE, TEXT, UNPAIRED
from datasets_app.scanning import library

ROLES = {"system": 0, "user": 1, "assistant": 2}  # as in scanning/scan.c
OTHER_ASKED, OTHER_ANSWERED = 3, 4
CHECK_BITS = 30
CHECK_MASK = (1 << CHECK_BITS) - 1


class Digests(NamedTuple):
    """64 bits of what a row asks, 64 of the whole of it, 30 more of what it asks."""

    asked: int
    row: int
    check: int


def digests_of(row: dict[str, Any], kind: str) -> Digests:
    """Of a chat row, what is asked are its messages but the last, and its tools. Two answers contradict each other
    where the same is asked; so for a preference the question and both answers are asked, and which of them is
    chosen is the answer; for an unpaired row question and completion are asked, and the label is the answer."""
    if kind == TEXT:
        return _of_two(row["text"], None)
    if kind == PREFERENCE:
        both = sorted(msgspec.json.encode(row[name], order="sorted") for name in ("chosen", "rejected"))
        return _of_two([row.get("prompt"), [each.decode() for each in both], row.get("tools")], row["chosen"])
    if kind == UNPAIRED:
        return _of_two([row.get("prompt"), row["completion"], row.get("tools")], row["label"])
    messages = row["messages"]
    if row.get("tools") or not all(_is_plain(message) for message in messages):
        return _of_two([messages[:-1], row.get("tools")], messages[-1])
    asked = whole = (0, 0)
    for message in messages:
        asked = whole
        whole = _digest(whole, ROLES[message["role"]], message["content"].encode("utf-8", "surrogatepass"))
    return Digests(asked[0], whole[0], asked[1] & CHECK_MASK)


def _is_plain(message: dict[str, Any]) -> bool:
    return (
        message.keys() == {"role", "content"}
        and message["role"] in ROLES
        and isinstance(message["content"], str)
    )


def _of_two(asked: Any, answered: Any) -> Digests:
    first = _digest((0, 0), OTHER_ASKED, msgspec.json.encode(asked, order="sorted"))
    second = _digest(first, OTHER_ANSWERED, msgspec.json.encode(answered, order="sorted"))
    return Digests(first[0], second[0], first[1] & CHECK_MASK)


def _digest(before: tuple[int, int], role: int, content: bytes) -> tuple[int, int]:
    """By the scanner where there is one, as its columns hold the same digests; else by xxhash."""
    scanner = library.load()
    if scanner is not None:
        return scanner.digest(before, role, content)
    state = xxhash.xxh3_128(b"%d:%d:%d:" % (role, *before))
    state.update(content)
    return divmod(state.intdigest(), 1 << 64)
