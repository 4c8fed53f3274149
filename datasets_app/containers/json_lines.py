"""JSON Lines: one record a line."""

from collections.abc import Iterator

from datasets_app.formats.base import BadRow, excerpt, kind_of

from .base import Broken, Found, Opened
from .json_values import (
    BAD_BYTE,
    EXTRA,
    Decoder,
    TooDeep,
    Unreadable,
    bad_byte,
    invalid,
    skip_space,
    too_deep,
)
from .lines import Lines, LongLine, lines_of, pieces_of

NAME = "jsonl"
# An object with these names only is a message inside a record, not a record.
INNER_NAMES = {"role", "content", "from", "value", "weight"}
LOOK_AT = 20
MARK = "\ufeff"
STRAY_MARK = BadRow(
    "A byte order mark stands at the beginning of this line, which is not the first.",
    "Several files were put together; leave out the mark. It was passed over here.",
    code="byte_order_mark",
)


def fits(opened: Opened) -> bool:
    """Whether one of the first lines is a record by itself, and not the whole file.

    A first line that is broken must not hide the good ones below it; a pretty-printed object has no such line,
    as a message inside it is no record.
    """
    start = opened.head.decode("utf-8", "surrogateescape").lstrip("\ufeff \t\r\n")
    if start.startswith("["):
        return _is_list_of_lists(start)
    decoder = Decoder()
    lines = start.split("\n")
    if not opened.is_whole:
        lines.pop()  # cut off by the end of the head
    for number, line in enumerate(lines[:LOOK_AT]):
        record = _object_in(decoder, line)
        if record is None or (number and set(record) <= INNER_NAMES):
            continue
        return number > 0 or not opened.is_whole or bool(start[len(lines[0]) :].strip())
    # Records as JSON inside a string, line by line.
    return start.startswith('"{') and len(lines) > 1


def _is_list_of_lists(start: str) -> bool:
    """A line that is a list, followed by lines that are records: one bad line, not a list of records."""
    first, _, rest = start.partition("\n")
    if not first.rstrip().endswith("]"):
        return False
    decoder = Decoder()
    try:
        end = decoder.value_at(first, 0).end
    except (Unreadable, TooDeep):
        return False
    return not first[end:].strip() and _object_in(decoder, rest.lstrip().split("\n", 1)[0]) is not None


def _object_in(decoder: Decoder, line: str) -> dict | None:
    """The object on a line, also with a comma or another object behind it."""
    text = line.strip("\ufeff \t\r")
    if not text.startswith("{"):
        return None
    try:
        found = decoder.value_at(text, 0)
    except (Unreadable, TooDeep):
        return None
    rest = text[found.end :].strip()
    return found.value if not rest or rest == "," or rest.startswith("{") else None


def records(opened: Opened) -> Iterator[Found | Broken]:
    for piece in pieces_of(opened.stream):
        yield from records_of(piece)


def records_of(piece: Lines | LongLine) -> Iterator[Found | Broken]:
    """The record on each line that is not blank. The same for the same lines, however they are cut into pieces."""
    if isinstance(piece, LongLine):
        yield Broken(piece.line, piece.fault())
        return
    decoder = Decoder()
    for each in lines_of(piece):
        if isinstance(each, LongLine):
            yield Broken(each.line, each.fault())
            continue
        number, line = each
        found = record_of(decoder, number, line)
        if found is not None:
            yield found


def record_of(decoder: Decoder, number: int, line: bytes) -> Found | Broken | None:
    """The record on line `number`, or None for a blank one."""
    raw = line.decode("utf-8", "surrogateescape")
    text = raw.strip("\ufeff \t\r\n")
    if not text:
        return None
    shift = raw.index(text[0])  # white space before it counts as columns
    try:
        found = decoder.value_at(text, 0)
    except TooDeep:
        return Broken(number, too_deep())
    except Unreadable as problem:
        place = f"line {number}, column {problem.position + shift + 1}"
        return Broken(number, invalid(text, problem.message, problem.position, place))
    if found.end != len(text):
        position = skip_space(text, found.end)
        place = f"line {number}, column {position + shift + 1}"
        return Broken(number, invalid(text, EXTRA, position, place))
    if not text.isascii() and (bad := BAD_BYTE.search(text)):
        place = f"line {number}, column {bad.start() + shift + 1}"
        return Broken(number, bad_byte(text, bad.start(), place))
    if found.odd:
        return Broken(number, found.odd)
    if isinstance(found.value, str):
        return Broken(number, text_in_place_of_a_record(found.value))
    return Found(number, found.value, remarks=(STRAY_MARK,) if number > 1 and MARK in raw[:shift] else ())


def text_in_place_of_a_record(value: str) -> BadRow:
    """Words for a text where an object was expected; JSON written as JSON once more is named."""
    if value.strip().startswith(("{", "[")):
        return BadRow(
            "This is text, expected an object in {…}: the record was turned into JSON twice.",
            "Leave out one of the two steps (json.dumps of what is JSON already).",
            excerpt(value),
            "double_encoded",
        )
    fault = f"This is {kind_of(value)}, expected an object in {{…}}."
    return BadRow(fault, "Write one object an example.", excerpt(value), "not_an_object")
