"""JSON that is not one record a line: a list, one object, or objects one after another.

One object may be a record, wrap a list of records, or be a whole file of `brightrun-lora-v4`, whose pairs stand
in its conversations. Nothing is ever held but one record (one conversation of brightrun).
"""

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from datasets_app.faults import ERROR, REFUSAL, WARNING
from datasets_app.formats import brightrun, recognise
from datasets_app.formats.base import BadRow, excerpt

from . import base
from .base import Broken, Found, Opened
from .json_lists import Element, elements, place_of
from .json_values import Value, invalid
from .window import Window

NAME = "json"
WRAPPERS = {"data", "examples", "rows", "train", "items", "samples", "records", "instances", "dataset"}
# Lists under these names belong to one record, whatever is in them.
LISTS_OF_A_RECORD = {
    "messages", "turns", "conversation", "history", "prompt", "chosen", "rejected", "completion", "completions",
    "tools", "tool_calls", "responses", "answers", "input", "preferred_output", "non_preferred_output",
}  # fmt: skip


def fits(opened: Opened) -> bool:
    return opened.head.lstrip(b" \t\r\n")[:1] in (b"{", b"[")


def records(opened: Opened) -> Iterator[Found | Broken]:
    window = Window(opened.stream)
    if window.next_character() == "{":
        is_whole = yield from _first_object(window)
        if is_whole:
            yield from _objects(window)
        return
    yield from numbered(elements(window))
    while character := window.next_character():
        fault = BadRow(
            "Something follows after the end of the list.",
            "Put all records into one list; it was read on as far as it is a list."
            if character == "["
            else "Leave out what is behind the closing ].",
            excerpt(window.text, window.at),
            "extra_data",
        )
        yield Broken(window.line_of(window.at), fault, WARNING if character == "[" else ERROR)
        if character != "[":
            return
        yield from numbered(elements(window))


def numbered(found: Iterator[Element | Broken]) -> Iterator[Found | Broken]:
    """Records of a list: they go by their number; the physical line is told in words."""
    for number, each in enumerate(found, 1):
        if isinstance(each, Broken):
            yield each if each.severity == WARNING else replace(each, line=number)
        else:
            yield Found(each.number, each.value, place_of(each.number, each.line))


def _objects(window: Window) -> Iterator[Found | Broken]:
    """Records one after another, with or without commas: they go by their line."""
    for each in elements(window, in_brackets=False):
        if isinstance(each, Broken):
            yield replace(each, place="")
        else:
            yield Found(each.line, each.value)


# --- one object ---------------------------------------------------------------------------------------------
class _Stop(Exception):
    """The object cannot be read further."""

    def __init__(self, broken: Broken) -> None:
        super().__init__()
        self.broken = broken


def _first_object(window: Window) -> Generator[Found | Broken, None, bool]:
    """The object at `at`: its records, or itself as a record. Returns whether it could be read to its end."""
    line = window.line_of(window.at)
    record: dict[str, Any] = {}
    lists = 0
    try:
        for name in _names(window, record):
            reader = _reader_of(window, name, record)
            if reader is None:
                record[name] = _member(window, name, record)
                if window.left > base.RECORD_BYTES_MOST and not lists:
                    raise _Stop(_too_long(line))
            else:
                lists += 1
                yield from reader
    except _Stop as stop:
        yield replace(stop.broken, severity=ERROR if lists else REFUSAL)
        return False
    if not lists:
        yield Found(line, record)
    return True


def _names(window: Window, record: dict[str, Any]) -> Iterator[str]:
    """The names of the object at `at`, each with the window on its value; the value must be passed by then."""
    window.move(window.at + 1)
    is_first = True
    while (character := window.next_character()) != "}":
        if not is_first:
            if character != ",":
                raise _stop(window, "Expecting ',' delimiter")
            window.move(window.at + 1)
            character = window.next_character()
        if character != '"':
            raise _stop(window, "Expecting property name enclosed in double quotes")
        is_first = False
        name = _value(window)
        if window.next_character() != ":":
            raise _stop(window, "Expecting ':' delimiter")
        window.move(window.at + 1)
        window.next_character()
        yield name
    window.move(window.at + 1)


def _stop(window: Window, message: str) -> _Stop:
    fault = invalid(window.text, message, window.at, window.place_of(window.at))
    return _Stop(Broken(window.line_of(window.at), fault))


def _value(window: Window) -> Any:
    """The value at `at`, and past it."""
    line = window.line_of(window.at)
    got = window.value()
    if isinstance(got, Broken):
        raise _Stop(got)
    if got.odd:
        raise _Stop(Broken(line, got.odd))
    window.move(got.end)
    return got.value


def _member(window: Window, name: str, record: dict[str, Any]) -> Any:
    if name in record:
        fault = BadRow(
            f"The name “{excerpt(name, width=40)}” is there twice in one object; "
            "programs disagree on which of them counts.",
            "Keep one of the two.",
            code="duplicate_key",
        )
        raise _Stop(Broken(window.line_of(window.at), fault))
    return _value(window)


def _too_long(line: int) -> Broken:
    fault = BadRow(
        f"This is one object of more than {base.RECORD_BYTES_MOST:,} bytes, and no list of examples is in it.",
        "Write one example a line.",
        code="line_too_long",
    )
    return Broken(line, fault)


def _reader_of(window: Window, name: str, record: dict[str, Any]) -> Iterator[Found | Broken] | None:
    """What reads the list at `at` record by record, or None when it belongs to the object itself."""
    if window.text[window.at : window.at + 1] != "[":
        return None
    first = _first_element(window)
    if name == "training_pairs":
        metadata = record.get("training_file_metadata") or record.get("dataset_metadata")
        return _brightrun(metadata, _pairs(window, _uuid_of(metadata)))
    if name == "conversations" and _is_conversation(first, record):
        seen: Counter[str] = Counter()
        return _brightrun(record.get("training_file_metadata"), _conversations(window, seen), seen)
    if not isinstance(first, dict) or name in LISTS_OF_A_RECORD or recognise(record):
        return None
    if name in WRAPPERS or recognise(first):
        return numbered(elements(window))
    return None


def _first_element(window: Window) -> Any:
    offset = 1
    while True:
        rest = window.text[window.at + offset : window.at + offset + 4096]
        space = len(rest) - len(rest.lstrip(" \t\r\n"))
        offset += space
        if space < len(rest):
            break
        if not rest and not window.fill():
            return None
    got = window.value(offset)
    return got.value if isinstance(got, Value) else None


# --- brightrun ----------------------------------------------------------------------------------------------
def _is_conversation(first: Any, record: dict[str, Any]) -> bool:
    return (isinstance(first, dict) and "training_pairs" in first) or "training_file_metadata" in record


def _brightrun(
    metadata: Any, found: Iterator[Found | Broken], seen: Counter[str] | None = None
) -> Iterator[Found | Broken]:
    if warning := brightrun.version_warning(metadata):
        yield Broken(None, BadRow(*warning, code="newer_version"), WARNING)
    yield from found
    if seen is not None:
        for remark in brightrun.count_warnings(metadata, seen["pairs"], seen["conversations"]):
            yield Broken(None, remark, WARNING)


def _conversations(window: Window, seen: Counter[str]) -> Iterator[Found | Broken]:
    """The pairs of each conversation, by their physical lines; `seen` counts both. Before it is cut into pairs, a
    conversation is a record of its turns."""
    for each in elements(window):
        seen["conversations"] += 1
        if isinstance(each, Broken):
            yield replace(each, place="")
            continue
        value = each.value if isinstance(each.value, dict) else {}
        pairs = value.get("training_pairs")
        if not isinstance(pairs, list) and isinstance(value.get("turns"), list):
            yield Found(each.line, value, key=_uuid_of(value.get("conversation_metadata")))
            continue
        if not isinstance(pairs, list):
            fault = BadRow(
                "A conversation has no list “training_pairs”.", "Add its pairs.", code="missing_field"
            )
            yield Broken(each.line, fault)
            continue
        seen["pairs"] += len(pairs)
        inner = window.inner(each.end)
        key = _uuid_of(each.value.get("conversation_metadata"))
        for name in _names(inner, {}):
            if name == "training_pairs":
                yield from _pairs(inner, key)
            else:
                _value(inner)


def _pairs(window: Window, key: str | None) -> Iterator[Found | Broken]:
    for each in elements(window):
        if isinstance(each, Broken):
            yield replace(each, place="")
        else:
            yield Found(each.line, each.value, key=key)


def _uuid_of(metadata: Any) -> str | None:
    """The key that the metadata gives; None also for one that no UTF-8 file can hold."""
    value = metadata.get("conversation_id") if isinstance(metadata, dict) else None
    if not isinstance(value, str) or not value.strip():
        return None
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        return None
    return value[:200]
