"""Alpaca: `{"instruction": "…", "input": "…", "output": "…"}`, input optional.

`system` and `history` (a list of [question, answer] pairs) as in LLaMA-Factory. `response` stands for
`output` too.
"""

from typing import Any

from .base import CHAT, BadRow, Example, Turn, field, full_text, kind_of, text_of
from .conversation import make_example

NAME = "alpaca"
KIND = CHAT
SHAPE = '{"instruction": "…", "input": "…", "output": "…"}'


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has an instruction and a place for the answer, and is none that was turned down."""
    return (
        "instruction" in record
        and ("output" in record or "response" in record)
        and "rejection_reason" not in record
    )


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    question = question_of(record)
    name = "response" if "response" in record and "output" not in record else "output"
    answer = full_text(field(record, name, SHAPE), name, "answer to learn")
    turns = [*turns_before(record), Turn("user", question), Turn("assistant", answer)]
    return [make_example(turns, record, key)]


def question_of(record: dict[str, Any]) -> str:
    """Instruction and input; the input follows after a blank line. Raises BadRow when both are empty."""
    question = text_of(field(record, "instruction", SHAPE), "“instruction”").strip()
    extra = record.get("input")
    if extra is not None:
        extra = text_of(extra, "“input”").strip()
        question = f"{question}\n\n{extra}".strip() if extra else question
    if not question:
        mend = "Write what is asked, or leave out this example."
        raise BadRow("“instruction” is empty.", mend, code="empty_text")
    return question


def turns_before(record: dict[str, Any]) -> list[Turn]:
    """Instructions and earlier turns, where there are any; raises BadRow."""
    system = record.get("system")
    turns = [] if system is None else [Turn("system", text_of(system, "“system”").strip())]
    return turns + _history(record.get("history"))


def _history(history: Any) -> list[Turn]:
    if history is None:
        return []
    if not isinstance(history, list):
        mend = 'Write [["question", "answer"], …].'
        raise BadRow(f"“history” is {kind_of(history)}, expected a list.", mend, code="wrong_type")
    turns: list[Turn] = []
    for number, pair in enumerate(history, 1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRow(
                f"Entry {number} of “history” is not a pair of question and answer.",
                'Write it as ["question", "answer"].',
                code="wrong_type",
            )
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return turns
