"""What happens to an answer's bytes on their way back: the model's name and the count of tokens, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import msgspec

EVENT_END = b"\n\n"


@dataclass(slots=True)
class Used:
    """What an answer took. `is_counted` False: nobody said, so its events were counted."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    is_counted: bool = False


# Less than none would give back what others used; more than that no table keeps.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Usage(msgspec.Struct):
    prompt_tokens: Count
    completion_tokens: Count = 0


class WithUsage(msgspec.Struct):
    """Of an answer or a chunk only what is counted; the rest is skipped where it stands."""

    usage: Usage | None = None
    choices: msgspec.Raw = msgspec.Raw(b"")


_read = msgspec.json.Decoder(WithUsage).decode


class Renaming:
    """Puts the name that was asked for where the server wrote its own.

    Inside a JSON text every quotation mark is escaped, so `"model":"…"` stands in an answer only as that key.
    """

    def __init__(self, served: str, asked: str):
        self._pairs: list[tuple[bytes, bytes]] = []
        if served != asked:
            # Servers write what is not ASCII either way, and a space behind the colon or none.
            names = {json.dumps(served).encode(), json.dumps(served, ensure_ascii=False).encode()}
            mine = json.dumps(asked).encode()
            self._pairs = [
                (b'"model":' + space + name, b'"model":' + space + mine)
                for name in names
                for space in (b"", b" ")
            ]

    def __call__(self, block: bytes) -> bytes:
        for name, mine in self._pairs:
            block = block.replace(name, mine)
        return block


def usage_of(body: bytes) -> Used:
    """Of a whole answer."""
    try:
        usage = _read(body).usage
    except msgspec.DecodeError:
        return Used()
    return Used(usage.prompt_tokens, usage.completion_tokens, True) if usage else Used()


class Stream:
    """Cuts a stream at the ends of its events, and looks for the count of tokens.

    `keeps_usage` False: the event with nothing but the count, which only we asked for, is left out.
    """

    def __init__(self, rename: Renaming, *, keeps_usage: bool):
        self._rename, self._keeps_usage = rename, keeps_usage
        self._rest = b""
        self._events = 0
        self.used = Used()
        self.is_done = False

    def push(self, block: bytes) -> bytes:
        """What may go on now: whole events, byte for byte; what is left of an event waits for its end."""
        if self._rest:
            block = self._rest + block
        end = block.rfind(EVENT_END) + len(EVENT_END)
        if end < len(EVENT_END):
            if b"\r\n\r\n" not in block:
                self._rest = block
                return b""
            end = block.rfind(b"\r\n\r\n") + 4
        block, self._rest = block[:end], block[end:]
        self._events += block.count(b"data:")
        if b'"usage"' in block:
            block = self._without_usage(block)
        if b"data: [DONE]" in block:
            self.is_done = True
        return self._rename(block)

    def finish(self) -> bytes:
        """What came behind the last whole event. The count, where nobody told it, is that of the events."""
        if not self.used.is_counted and self._events:
            self.used = Used(None, max(0, self._events - 2), False)
        rest, self._rest = self._rest, b""
        return self._rename(rest)

    def _without_usage(self, block: bytes) -> bytes:
        kept = []
        for event in block.split(EVENT_END)[:-1] if block.endswith(EVENT_END) else [block]:
            if b'"usage"' in event and self._note(event) and not self._keeps_usage:
                continue
            kept.append(event + EVENT_END if block.endswith(EVENT_END) else event)
        return b"".join(kept)

    def _note(self, event: bytes) -> bool:
        """Keeps the count in `event`; True where there is nothing else in it."""
        try:
            read = _read(event.partition(b"data:")[2])
        except msgspec.DecodeError:
            return False
        if read.usage is None:
            return False
        self.used = Used(read.usage.prompt_tokens, read.usage.completion_tokens, True)
        return bytes(read.choices).replace(b" ", b"") == b"[]"


def failure_event(body: dict) -> bytes:
    """The last words of a stream that broke off."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\ndata: [DONE]\n\n".encode()
