"""Questions and answers as people type them, in plain text.

    Q: What are your hours?
    A: We are open from 9 to 17.
    Q: On Sundays too?
    A: On Sundays we rest.

    Q: Where are you?
    A: In Ulm, by the river.

`User:`/`Assistant:` and the like do as well. An answer may have several lines. A question after a blank line
begins a new example; without the blank line it goes on with the conversation.
"""

import re
from collections.abc import Iterable, Iterator

from .base import CHAT, Example, Turn
from .conversation import make_example

NAME = "dialogue"
KIND = CHAT
SHAPE = "lines that begin with Q: and A:"

SPEAKERS = {
    "q": "user", "question": "user", "user": "user", "person": "user", "human": "user", "frage": "user",
    "a": "assistant", "answer": "assistant", "assistant": "assistant", "ai": "assistant", "bot": "assistant",
    "antwort": "assistant",
    "system": "system", "instructions": "system",
}  # fmt: skip
LINE_COST = 64  # bytes that a line takes beside its characters
MARK = re.compile(rf"\s*({'|'.join(SPEAKERS)})\s*:[ \t]?(.*)", re.IGNORECASE)


def fits(sample: str) -> bool:
    """Whether the text begins with a question (or instructions) so marked, and has a marked answer."""
    marks = [match for line in sample.splitlines() if line.strip() and (match := MARK.match(line))]
    roles = [SPEAKERS[match[1].lower()] for match in marks]
    return (
        bool(MARK.match(sample.lstrip()))
        and "user" in roles
        and "assistant" in roles
        and roles[0] != "assistant"
    )


def iterate(lines: Iterable[str], most: int) -> Iterator[tuple[int, list[Turn] | int]]:
    """(line where it begins, its turns) of each example; for one that takes more than `most` bytes of memory while
    it is read, its characters in place of the turns."""
    spoken: list[tuple[str, list[str]]] = []
    begins, size, cost = 1, 0, 0
    after_blank = has_answer = False
    for number, line in enumerate(lines, 1):
        mark = MARK.match(line)
        role = SPEAKERS[mark[1].lower()] if mark else ""
        if mark and role != "assistant" and after_blank and has_answer:
            yield begins, as_turns(spoken) if cost <= most else size
            spoken, has_answer, size, cost = [], False, 0, 0
        size += len(line)
        cost += len(line) + LINE_COST
        has_answer = has_answer or role == "assistant"
        if mark:
            begins = begins if spoken else number
            if cost <= most or not spoken:
                spoken.append((role, [mark[2]]))
        elif spoken and cost <= most:
            spoken[-1][1].append(line.rstrip("\r\n"))
        after_blank = not line.strip()
    if spoken:
        yield begins, as_turns(spoken) if cost <= most else size


def as_turns(spoken: list[tuple[str, list[str]]]) -> list[Turn]:
    return [Turn(role, "\n".join(lines).strip()) for role, lines in spoken]


def to_example(turns: list[Turn]) -> Example:
    """The turns as an example; raises BadRow."""
    return make_example(turns, {})
