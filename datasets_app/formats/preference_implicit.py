"""Preferences without a prompt of their own: `{"chosen": …, "rejected": …}`, whole conversations that begin alike.

TRL's "implicit prompt", as messages or as texts; and the texts of Anthropic's HH-RLHF, with “Human:” and
“Assistant:” after blank lines. What both have in common at the start is the question.
"""

import re
from typing import Any

from .base import PREFERENCE, BadRow, Example, Turn, excerpt, field, full_text, kind_of
from .conversation import make_preference
from .preference import answer_turns

NAME = "preference-implicit"
KIND = PREFERENCE
SHAPE = '{"chosen": [{"role": "user", …}, {"role": "assistant", …}], "rejected": [the same question, …]}'

SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant|System): ?")
ROLES = {"Human": "user", "Assistant": "assistant", "System": "system"}


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has two answers; the shapes with a question of their own are asked before."""
    return "chosen" in record and "rejected" in record


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as one preference; raises BadRow."""
    chosen, rejected = field(record, "chosen", SHAPE), field(record, "rejected", SHAPE)
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise BadRow(
            f"“chosen” is {kind_of(chosen)} and “rejected” is {kind_of(rejected)}.",
            "Write both in the same way.",
            code="wrong_type",
        )
    if isinstance(chosen, str) and not (SPEAKER.match(chosen) and SPEAKER.match(rejected)):
        prompt, better, worse = _split_texts(chosen, rejected)
        return [
            make_preference(
                [Turn("user", prompt)], [Turn("assistant", better)], [Turn("assistant", worse)], record, key
            )
        ]
    first, second = (_turns(value, name) for value, name in ((chosen, "chosen"), (rejected, "rejected")))
    common = _common(first, second)
    return [make_preference(first[:common], first[common:], second[common:], record, key)]


def _turns(value: Any, name: str) -> list[Turn]:
    if isinstance(value, str):
        return read_transcript(value)
    return answer_turns(value, name)


def read_transcript(text: str) -> list[Turn]:
    """The turns of “\\n\\nHuman: … \\n\\nAssistant: …”."""
    marks = list(SPEAKER.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        Turn(ROLES[mark[1]], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)
    ]


def _common(first: list[Turn], second: list[Turn]) -> int:
    """How many turns both begin with, so that an answer follows in each; raises BadRow."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    if count == len(first) == len(second):
        raise BadRow(
            "The chosen and the rejected conversation are the same, so there is nothing to prefer.",
            "Write another worse answer, or leave out this row.",
            excerpt(str(first[-1].content)),
            "equal_answers",
        )
    # When one of them stops where the other goes on, both end with what the shorter one has.
    if count == min(len(first), len(second)):
        count -= 1
    if count < 1 or first[count].role != "assistant" or second[count].role != "assistant":
        place = count + 1
        raise BadRow(
            f"“chosen” and “rejected” ask different things: their turns number {place} differ before an answer begins.",
            "Let both begin with the same question; only the answers may differ.",
            excerpt(str(second[count].content) if count >= 0 and count < len(second) else ""),
            "different_prompts",
        )
    return count


def _split_texts(chosen: str, rejected: str) -> tuple[str, str, str]:
    """(what both texts begin with up to a space, the rest of each); raises BadRow."""
    first, second = full_text(chosen, "chosen", "answer"), full_text(rejected, "rejected", "answer")
    if first == second:
        raise BadRow(
            "“chosen” and “rejected” are the same, so there is nothing to prefer.",
            "Write another worse answer, or leave out this row.",
            excerpt(first),
            "equal_answers",
        )
    at = next((at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    at = min(len(first), len(second)) if at is None else at
    while at and not (first[at : at + 1].isspace() or first[at - 1].isspace()):
        at -= 1
    prompt, better, worse = first[:at].strip(), first[at:].strip(), second[at:].strip()
    if not prompt or not better or not worse:
        raise BadRow(
            "“chosen” and “rejected” have no beginning in common that could be the question.",
            'Write the question beside them: {"prompt": "…", "chosen": "…", "rejected": "…"}.',
            excerpt(first),
            "different_prompts",
        )
    return prompt, better, worse
