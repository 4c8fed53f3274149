"""From token ids to text that may be shown: whole characters only, nothing that may be part of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# What a tokenizer writes for bytes that are not (yet) a character.
BROKEN = "\ufffd"
# A character takes at most 4 bytes, so a longer wait means the model did write broken bytes.
LONGEST_WAIT = 8


class TextStream:
    """Takes one token after the other and gives the text that is certain by then.

    `decode` turns token ids into text. `stop` strings end the stream where they first appear and are not part of
    the text, also when they come in several pieces.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()):
        self._decode = decode
        self._stop = list(stop)
        self._ids: list[int] = []
        # The window that is decoded again with each token: some tokenizers write a token by its neighbours.
        self._start = self._read = 0
        self._held = ""
        self.is_stopped = False

    def push(self, token_id: int) -> str:
        """Text that became certain with this token; may be empty. After a stop string always empty."""
        if self.is_stopped:
            return ""
        self._ids.append(token_id)
        known = self._decode(self._ids[self._start : self._read])
        text = self._decode(self._ids[self._start :])
        if text.endswith(BROKEN) and len(self._ids) - self._read < LONGEST_WAIT:
            return ""
        self._start, self._read = self._read, len(self._ids)
        return self._release(text[len(known) :])

    def finish(self) -> str:
        """What is still held back, at the end of the answer."""
        if self.is_stopped:
            return ""
        known = self._decode(self._ids[self._start : self._read])
        rest = self._decode(self._ids[self._start :])[len(known) :]
        self._start = self._read = len(self._ids)
        text = self._release(rest)
        text, self._held = text + self._held, ""
        return text

    def _release(self, new: str) -> str:
        text = self._held + new
        found = min((at for at in (text.find(stop) for stop in self._stop) if at >= 0), default=-1)
        if found >= 0:
            self.is_stopped, self._held = True, ""
            return text[:found]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that may be the beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0
