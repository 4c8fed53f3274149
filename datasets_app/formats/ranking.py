"""Rankings: `{"prompt": "…", "responses": ["…", "…", "…"], "ranking": [2, 0, 1]}`, the best first.

The order counts the answers from 0, as a list or as text ("2,0,3,1"), or by letters ("C A B D"). Of n answers
become all n(n-1)/2 preferences, of one conversation.
"""

import re
from itertools import combinations
from typing import Any

from .base import PREFERENCE, BadRow, Example, Turn, excerpt, field, kind_of
from .conversation import make_preference
from .preference import answer_turns
from .prompt_completion import prompt_turns

NAME = "ranking"
KIND = PREFERENCE
SHAPE = '{"prompt": "…", "responses": ["…", "…", "…"], "ranking": [2, 0, 1]}'

ANSWERS = ("responses", "answers", "completions", "outputs", "candidates")
ORDERS = ("ranking", "rank", "order", "ranks")
QUESTIONS = ("prompt", "question", "query", "instruction")
TEXTS = ("content", "text", "response", "answer", "output")
# One row of that many answers makes 1,225 preferences, which is as much as one row may.
ANSWERS_MOST = 50
MEND = (
    "Count the answers from 0, or by letters from A, and name each of them once, the best first: [2, 0, 1]."
)


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has several answers and an order of them."""
    name = _name(record, ANSWERS)
    return name is not None and isinstance(record[name], list) and _name(record, ORDERS) is not None


def _name(record: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in record), None)


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """All preferences that the order tells of, from the clearest to the least; raises BadRow."""
    question, answers, order = (_name(record, names) or names[0] for names in (QUESTIONS, ANSWERS, ORDERS))
    field(record, question, SHAPE)
    turns = _answers(field(record, answers, SHAPE), answers)
    best_first = [turns[at] for at in order_of(field(record, order, SHAPE), len(turns), order)]
    prompt = prompt_turns(record, question)
    found = []
    for better, worse in combinations(best_first, 2):
        if better == worse:
            raise BadRow(
                f"Two of the {len(turns)} answers are the same, so one cannot be better than the other.",
                "Leave out one of them, also in the order.",
                excerpt(str(better[0].content)),
                "equal_answers",
            )
        found.append(make_preference(prompt, better, worse, record, key))
    return found


def _answers(value: Any, name: str) -> list[list[Turn]]:
    if not isinstance(value, list):
        raise BadRow(
            f"“{name}” is {kind_of(value)}, expected a list.", f"Write it as {SHAPE}.", code="wrong_type"
        )
    if not 2 <= len(value) <= ANSWERS_MOST:
        raise BadRow(
            f"“{name}” holds {len(value)} answers, expected 2 to {ANSWERS_MOST}.",
            "Bring as many answers as can be compared.",
            code="bad_ranking",
        )
    return [answer_turns(_text(each), f"{name}[{number}]") for number, each in enumerate(value)]


def _text(answer: Any) -> Any:
    if isinstance(answer, dict) and "role" not in answer and (name := _name(answer, TEXTS)):
        return answer[name]
    return answer


def order_of(value: Any, count: int, name: str) -> list[int]:
    """The places of the answers, counted from 0, the best first; raises BadRow."""
    parts = re.split(r"[\s,;>]+", value.strip().strip("[]")) if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise _bad(f"“{name}” is {kind_of(value)}, expected a list or a text such as 2,0,1.", value)
    if len(parts) == 1 and isinstance(parts[0], str) and parts[0].isalpha():
        parts = list(parts[0])  # "CABD"
    order = [_place(part) for part in parts]
    if None in order:
        odd = parts[order.index(None)]
        raise _bad(f"“{name}” holds {excerpt(str(odd), width=20)!r}, expected a number or a letter.", value)
    if sorted(order) != list(range(count)):
        raise _bad(f"“{name}” does not name each of the {count} answers once.", value)
    return order


def _place(part: Any) -> int | None:
    if isinstance(part, float) and part.is_integer():
        part = int(part)
    if isinstance(part, bool) or not isinstance(part, (int, str)):
        return None
    if isinstance(part, int):
        return part
    part = part.strip().strip('"')
    if part.isascii() and part.isdigit() and len(part) < 5:
        return int(part)
    return ord(part.upper()) - ord("A") if len(part) == 1 and part.isascii() and part.isalpha() else None


def _bad(problem: str, value: Any) -> BadRow:
    return BadRow(problem, MEND, excerpt(str(value)[:200]), "bad_ranking")
