"""Alpaca: `{"instruction": "…", "input": "…", "output": "…"}`, input optional.

`system` and `history` (a list of [question, answer] pairs) as in LLaMA-Factory. `response` stands for
`output` too.
"""

from typing import Any

from .base import BadRow, Example, Turn, kind_of, make_example, text_of

NAME = "alpaca"
SHAPE = '{"instruction": "…", "input": "…", "output": "…"}'


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has an instruction and a place for the answer."""
    return "instruction" in record and ("output" in record or "response" in record)


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow. The input follows the instruction after a blank line."""
    question = text_of(record["instruction"], "“instruction”").strip()
    extra = record.get("input")
    if extra is not None:
        extra = text_of(extra, "“input”").strip()
        question = f"{question}\n\n{extra}".strip() if extra else question
    name = "output" if "output" in record else "response"
    answer = text_of(record[name], f"“{name}”").strip()
    if not question:
        raise BadRow("“instruction” is empty.", "Write what is asked, or leave out this example.")
    if not answer:
        raise BadRow(f"“{name}” is empty: there is no answer to learn.", "Write the answer, or leave it out.")
    turns: list[Turn] = []
    if record.get("system") is not None:
        turns.append(Turn("system", text_of(record["system"], "“system”").strip()))
    turns += _history(record.get("history"))
    return [make_example([*turns, Turn("user", question), Turn("assistant", answer)], record)]


def _history(history: Any) -> list[Turn]:
    if history is None:
        return []
    if not isinstance(history, list):
        raise BadRow(
            f"“history” is {kind_of(history)}, expected a list.", 'Write [["question", "answer"], …].'
        )
    turns: list[Turn] = []
    for number, pair in enumerate(history, 1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRow(
                f"Entry {number} of “history” is not a pair of question and answer.",
                'Write it as ["question", "answer"].',
            )
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return turns
